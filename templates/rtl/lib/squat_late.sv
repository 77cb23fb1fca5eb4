// The stream of the step before: each step of `tick` gets the rows that `in` gave a step ago, and its own flags.
//
// Where a sequence starts there is nothing before: the rows that are left are dropped, and one row of zeros is given.
// Latency: none; throughput: a row a cycle.
`default_nettype none

module squat_late #(
    parameter int WIDTH = 1,  // bits of a row
    parameter int FLAGS = 2
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             tick_valid,
    output      logic             tick_ready,
    input  wire logic             tick_last,
    input  wire logic [FLAGS-1:0] tick_flags,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic             in_last,
    input  wire logic [FLAGS-1:0] in_flags,
    input  wire logic [WIDTH-1:0] in_fields,
    output      logic             out_valid,
    input  wire logic             out_ready,
    output      logic             out_last,
    output      logic [FLAGS-1:0] out_flags,
    output      logic [WIDTH-1:0] out_fields
);
    logic none = 1'b1;  // there was no step since the reset
    logic starts;

    assign starts = none || tick_flags[0];
    assign out_valid = tick_valid && (starts ? none || (in_valid && in_last) : in_valid);
    assign out_last = starts || in_last;
    assign out_flags = tick_flags;
    assign out_fields = starts ? '0 : in_fields;
    assign in_ready = tick_valid && !none && (starts && !in_last ? 1'b1 : out_ready);
    assign tick_ready = out_valid && out_ready && out_last;
    wire unused = &{1'b0, tick_last, in_flags};

    always_ff @(posedge clk) begin
        if (rst) none <= 1'b1;
        else if (tick_ready) none <= 1'b0;
    end
endmodule

`default_nettype wire

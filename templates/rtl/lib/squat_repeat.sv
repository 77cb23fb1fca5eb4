// What a sequence gives in its first step, in each of its steps: `in` has one beat in all others.
// Latency: none; throughput: a beat a cycle.
`default_nettype none

module squat_repeat #(
    parameter int WIDTH = 1,  // bits of a beat
    parameter int DEPTH = 2,  // beats
    parameter int FLAGS = 2
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic             in_last,
    input  wire logic [FLAGS-1:0] in_flags,
    input  wire logic [WIDTH-1:0] in_data,
    output      logic             out_valid,
    input  wire logic             out_ready,
    output      logic             out_last,
    output      logic [FLAGS-1:0] out_flags,
    output      logic [WIDTH-1:0] out_data
);
    localparam int AT = $clog2(DEPTH);

    logic [WIDTH-1:0] beats [DEPTH];
    logic [AT-1:0] at = '0;
    logic [AT-1:0] end_at = '0;
    logic first;

    assign first = in_flags[0];
    assign out_valid = in_valid;
    assign out_last = first ? in_last : at == end_at;
    assign out_flags = in_flags;
    assign out_data = first ? in_data : beats[at];
    assign in_ready = out_ready && (first || out_last);

    always_ff @(posedge clk) begin
        if (in_valid && out_ready && first) begin
            beats[at] <= in_data;
            end_at <= at;
        end
        if (rst) at <= '0;
        else if (in_valid && out_ready) at <= out_last ? '0 : at + 1'b1;
    end
endmodule

`default_nettype wire

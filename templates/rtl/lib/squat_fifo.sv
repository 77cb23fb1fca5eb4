// A queue of DEPTH words (a power of two), first word first; a word goes in and another out in every cycle.
// Latency: a word can be taken in the cycle after it was put in. Nothing passes from `in` to `out` without a register.
`default_nettype none

module squat_fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic [WIDTH-1:0] in_data,
    output      logic             out_valid,
    input  wire logic             out_ready,
    output      logic [WIDTH-1:0] out_data
);
    localparam int BITS = $clog2(DEPTH);

    logic [WIDTH-1:0] words [DEPTH];
    logic [BITS:0] first = '0;  // one bit more than an address, so that full and empty differ
    logic [BITS:0] next = '0;

    assign in_ready = next != {~first[BITS], first[BITS-1:0]};
    assign out_valid = next != first;
    assign out_data = words[first[BITS-1:0]];

    always_ff @(posedge clk) begin
        if (in_valid && in_ready) words[next[BITS-1:0]] <= in_data;
        if (rst) begin
            first <= '0;
            next <= '0;
        end else begin
            if (in_valid && in_ready) next <= next + 1'b1;
            if (out_valid && out_ready) first <= first + 1'b1;
        end
    end
endmodule

`default_nettype wire

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
    logic [BITS-1:0] first = '0;
    logic [BITS-1:0] next = '0;
    logic [BITS:0] level = '0;  // words inside
    logic full = 1'b0;          // that is DEPTH, or not 0: registers, since they go far
    logic some = 1'b0;
    logic put, take;

    assign in_ready = !full;
    assign out_valid = some;
    assign out_data = words[first];
    assign put = in_valid && in_ready;
    assign take = out_valid && out_ready;

    always_ff @(posedge clk) begin
        if (put) words[next] <= in_data;
        if (rst) begin
            first <= '0;
            next <= '0;
            level <= '0;
            full <= 1'b0;
            some <= 1'b0;
        end else begin
            if (put) next <= next + 1'b1;
            if (take) first <= first + 1'b1;
            level <= level + (BITS + 1)'(put) - (BITS + 1)'(take);
            if (put != take) full <= put && level == (BITS + 1)'(DEPTH - 1);
            if (put != take) some <= put || level != (BITS + 1)'(1);
        end
    end
endmodule

`default_nettype wire

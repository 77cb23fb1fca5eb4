// The sums of two pages, each times a factor, as one page: nothing is stored, rows are added when they have been read.
// Latency: none; it is full when both are, and both are given back together.
`default_nettype none

module squat_add #(
    parameter int PE = 1,
    parameter int ROW = 1,       // bits of a row's number
    parameter int SUM_A = 8,
    parameter int SUM_B = 8,
    parameter int FACTOR_A = 1,
    parameter int FACTOR_B = 1,
    parameter int SUM = 9,
    parameter int FLAGS = 2
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                a_full,
    input  wire logic [FLAGS-1:0]    a_flags,
    output      logic [ROW-1:0]      a_row,
    output      logic                a_read,
    input  wire logic [PE*SUM_A-1:0] a_sums,
    output      logic                a_done,
    input  wire logic                b_full,
    input  wire logic [FLAGS-1:0]    b_flags,
    output      logic [ROW-1:0]      b_row,
    output      logic                b_read,
    input  wire logic [PE*SUM_B-1:0] b_sums,
    output      logic                b_done,
    output      logic                out_full,
    output      logic [FLAGS-1:0]    out_flags,
    input  wire logic [ROW-1:0]      out_row,
    input  wire logic                out_read,
    output      logic [PE*SUM-1:0]   out_sums,
    input  wire logic                out_done
);
    // A constant factor: additions, which no tool takes for a multiplier.
    function automatic logic signed [SUM-1:0] times(input int factor, input logic signed [SUM-1:0] value);
        times = '0;
        for (int i = 0; i < SUM; i++) if (factor[i < 31 ? i : 31]) times += value <<< i;
    endfunction

    assign out_full = a_full && b_full;
    assign out_flags = a_flags;  // those of the same step
    assign {a_row, a_read, a_done} = {out_row, out_read, out_done};
    assign {b_row, b_read, b_done} = {out_row, out_read, out_done};
    wire unused = &{1'b0, clk, rst, b_flags};

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic signed [SUM_A-1:0] a;
        logic signed [SUM_B-1:0] b;
        assign a = a_sums[lane*SUM_A+:SUM_A];
        assign b = b_sums[lane*SUM_B+:SUM_B];
        assign out_sums[lane*SUM+:SUM] = times(FACTOR_A, SUM'(a)) + times(FACTOR_B, SUM'(b));
    end
endmodule

`default_nettype wire

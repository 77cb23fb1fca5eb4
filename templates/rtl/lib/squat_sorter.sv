// Events that come one a cycle, dealt over SIMD banks (a power of two): an event of index i belongs to bank i % SIMD, where
// it has the index i / SIMD. Worth it where taking a beat lasts longer than finding an event.
// Latency and throughput: those of `squat_dealer`, whose words are the events.
`default_nettype none

module squat_sorter #(
    parameter int SIMD = 2,
    parameter int VALUE = 1,
    parameter int INDEX_IN = 4,
    parameter int INDEX = 3,  // log2(SIMD) less
    parameter int DEPTH = 8,
    parameter int FLAGS = 2
) (
    input  wire logic                  clk,
    input  wire logic                  rst,
    input  wire logic                  in_valid,
    output      logic                  in_ready,
    input  wire logic                  in_end,
    input  wire logic [FLAGS-1:0]      in_flags,
    input  wire logic                  in_keep,
    input  wire logic [INDEX_IN-1:0]   in_index,
    input  wire logic [VALUE-1:0]      in_value,
    output      logic                  out_valid,
    input  wire logic                  out_ready,
    output      logic                  out_end,
    output      logic [FLAGS-1:0]      out_flags,
    output      logic [SIMD-1:0]       out_keep,
    output      logic [SIMD*INDEX-1:0] out_index,
    output      logic [SIMD*VALUE-1:0] out_value
);
    localparam int BANK = $clog2(SIMD);

    logic [SIMD*VALUE-1:0] fields;
    for (genvar b = 0; b < SIMD; b++) begin : g_bank
        assign fields[b*VALUE+:VALUE] = in_keep && in_index[BANK-1:0] == BANK'(b) ? in_value : '0;
    end

    squat_dealer #(
        .FIELDS(SIMD), .VALUE(VALUE), .SIMD(SIMD), .INDEX(INDEX), .DEPTH(DEPTH), .NAMED(1'b1), .FLAGS(FLAGS)
    ) dealer (
        .clk, .rst, .in_valid, .in_ready, .in_fields(fields), .in_index(in_index[BANK+:INDEX]), .in_last(in_end),
        .in_flags, .out_valid, .out_ready, .out_end, .out_flags, .out_keep, .out_index, .out_value
    );
endmodule

`default_nettype wire

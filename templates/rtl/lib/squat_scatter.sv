// Fully connected synapses: every beat adds a row of weights a bank to the sums of all channels, PE channels a cycle.
//
// Sums are doubled: while neurons read those of one step (`out_*`), the next step is added up. A beat is a pass over
// the GROUPS rows; the first of a step writes start values plus products instead of adding, so that sums are
// never cleared.
// With HELD, the input is given once a sequence: a step without events presents the sums that are there once more.
// Latency: 4 cycles from a beat to its sums, and what `squat_dot` and reading of sums take; throughput: GROUPS cycles a
// beat, no gap between beats and steps.
`default_nettype none

module squat_scatter #(
    parameter int PE = 1,
    parameter int GROUPS = 1,
    parameter int SIMD = 1,
    parameter int INDEX = 8,
    parameter int ENTRIES = 256,      // inputs of a bank
    parameter int VALUE = 1,          // bits of an event's number; 1 where all are spikes
    parameter bit VALUE_SIGNED = 1'b0,
    parameter int WEIGHT = 4,         // bits of a weight
    parameter bit BIPOLAR = 1'b0,     // weights are -1 (0) and +1 (1)
    parameter int SUM = 12,           // bits of a sum
    parameter int ADDING = 1,         // cycles that `squat_dot` takes
    parameter bit HELD = 1'b0,
    parameter int READERS = 1,        // of the sums, in rows of VIEW, of which there are VIEWS
    parameter int VIEW = PE,
    parameter int VIEWS = GROUPS,
    parameter int READ = 1,           // cycles of reading, and APART, as `squat_sums` has them
    parameter int APART = GROUPS > 1 ? 1 : 0,
    parameter int FLAGS = 2,
    parameter int COLUMN = 8,         // of memories of weights, as `squat_weights` has them
    parameter int DEPTH = 2,
    parameter     WEIGHTS = "",       // files WEIGHTS + "00" and so on, one a bank: row = index * GROUPS + group
    parameter     START = ""          // file of start values: GROUPS rows of PE sums
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic                      in_valid,
    output      logic                      in_ready,
    input  wire logic                      in_end,
    input  wire logic [FLAGS-1:0]          in_flags,
    input  wire logic [SIMD-1:0]           in_keep,
    input  wire logic [SIMD*INDEX-1:0]     in_index,
    input  wire logic [SIMD*VALUE-1:0]     in_value,
    output      logic [READERS-1:0]        out_full,   // the sums, as `squat_sums` gives them
    output      logic [READERS*FLAGS-1:0]  out_flags,
    input  wire logic [READERS*SEEN-1:0]   out_row,
    input  wire logic [READERS-1:0]        out_read,
    output      logic [READERS*VIEW*SUM-1:0] out_sums,
    input  wire logic [READERS-1:0]        out_done
);
    localparam int ROW = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int SEEN = VIEWS > 1 ? $clog2(VIEWS) : 1;
    localparam int ADDRESS = ENTRIES * GROUPS > 1 ? $clog2(ENTRIES * GROUPS) : 1;

    typedef logic [ROW-1:0] row_t;

    // Stage 0: which row of which beat. The first pass of a step begins when a page of sums is free.
    row_t row = '0;
    logic fresh = 1'b1;         // no beat of this step has been added
    logic free, last_row, go, again;

    assign again = HELD && in_end && fresh && !in_flags[0] && in_keep == '0;
    assign go = in_valid && (!fresh || row != '0 || free);
    assign last_row = again || row == row_t'(GROUPS - 1);
    assign in_ready = go && last_row;

    always_ff @(posedge clk) begin
        if (rst) begin
            row <= '0;
            fresh <= 1'b1;
        end else if (go) begin
            row <= last_row ? '0 : row + 1'b1;
            if (last_row) fresh <= in_end;
        end
    end

    // Stage 1: where the weights of the row are, in a register before the many memories that it goes to. Stages 2 and 3: the
    // weights, and the numbers that they are multiplied by.
    localparam int STORED = ENTRIES * GROUPS > 1 ? ENTRIES * GROUPS : 2;
    localparam int CARRIED = FLAGS + ROW + SIMD + SIMD * VALUE + 3;

    logic s1_valid;
    logic s1_first, s1_end, s1_again;
    logic [FLAGS-1:0] s1_flags;
    row_t s1_row;
    logic [SIMD-1:0] s1_keep;
    logic [SIMD*VALUE-1:0] s1_value;
    logic [SIMD*PE*WEIGHT-1:0] s1_weights;

    for (genvar b = 0; b < SIMD; b++) begin : g_bank
        localparam logic [7:0] TENS = 8'(48 + b / 10);
        localparam logic [7:0] ONES = 8'(48 + b % 10);
        logic [ADDRESS-1:0] address;
        always_ff @(posedge clk) address <= groups_before(in_index[b*INDEX+:INDEX]) + ADDRESS'(row);
        squat_weights #(
            .WIDTH(PE * WEIGHT), .ROWS(STORED), .COLUMN(COLUMN), .DEPTH(DEPTH), .FILE({WEIGHTS, TENS, ONES})
        ) weights (.clk, .address, .word(s1_weights[b*PE*WEIGHT+:PE*WEIGHT]));
    end

    // Index times GROUPS: additions, which no tool takes for a multiplier.
    function automatic logic [ADDRESS-1:0] groups_before(input logic [INDEX-1:0] index);
        groups_before = '0;
        for (int i = 0; i < ADDRESS; i++) begin
            if (GROUPS[i]) groups_before += ADDRESS'(index) << i;
        end
    endfunction

    logic [2:0] valid = '0;
    logic [CARRIED-1:0] carried [3];
    always_ff @(posedge clk) begin
        valid <= rst ? '0 : {valid[1:0], go};
        carried[0] <= {fresh, in_end && last_row, again, in_flags, row, in_keep, in_value};
        carried[1] <= carried[0];
        carried[2] <= carried[1];
    end
    assign s1_valid = valid[2];
    assign {s1_first, s1_end, s1_again, s1_flags, s1_row, s1_keep, s1_value} = carried[2];

    // Stages 4 on: what every lane adds.
    localparam int TOLD = FLAGS + ROW + 3;
    logic s2_valid, s2_first, s2_end, s2_again;
    logic [FLAGS-1:0] s2_flags;
    row_t s2_row;
    logic [PE*SUM-1:0] s2_added;

    for (genvar lane = 0; lane < PE; lane++) begin : g_added
        logic [SIMD*WEIGHT-1:0] codes;
        for (genvar b = 0; b < SIMD; b++) begin : g_code
            assign codes[b*WEIGHT+:WEIGHT] = s1_weights[(b*PE+lane)*WEIGHT+:WEIGHT];
        end
        squat_dot #(
            .WEIGHT(WEIGHT), .BIPOLAR(BIPOLAR), .SIMD(SIMD), .VALUE(VALUE), .VALUE_SIGNED(VALUE_SIGNED), .SUM(SUM),
            .LATENCY(ADDING)
        ) dot (.clk, .codes, .keep(s1_keep), .numbers(s1_value), .total(s2_added[lane*SUM+:SUM]));
    end

    logic [ADDING-1:0] adding = '0;
    logic [TOLD-1:0] told [ADDING];
    always_ff @(posedge clk) begin
        adding <= rst ? '0 : ADDING'({adding, s1_valid});
        told[0] <= {s1_first, s1_end, s1_again, s1_flags, s1_row};
        for (int i = 1; i < ADDING; i++) told[i] <= told[i-1];
    end
    assign s2_valid = adding[ADDING-1];
    assign {s2_first, s2_end, s2_again, s2_flags, s2_row} = told[ADDING-1];

    // The row of sums.
    squat_sums #(
        .PE(PE), .ROWS(GROUPS), .SUM(SUM), .HELD(HELD), .APART(APART), .READERS(READERS), .VIEW(VIEW), .VIEWS(VIEWS),
        .READ(READ), .FLAGS(FLAGS), .START(START)
    ) sums (
        .clk, .rst, .free, .claim(go && fresh && row == '0), .add(s2_valid), .add_first(s2_first), .add_again(s2_again),
        .add_end(s2_end), .add_flags(s2_flags), .add_row(s2_row), .add_numbers(s2_added), .out_full, .out_flags,
        .out_row, .out_read, .out_sums, .out_done
    );
endmodule

`default_nettype wire

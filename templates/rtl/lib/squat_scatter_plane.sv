// Convolutions: every visit of an event (`squat_walk`) adds a row of weights to the sums of PE channels at a position.
//
// Sums are in block RAM, a page of ROWS rows for each step. Pages are doubled: while one is read by READERS, each by a
// port of its own, the next step is added up. A row that is read with RESTORED is written back as start values, so that
// nothing is cleared; else, and after a reset, ROWS cycles do it. With HELD, the input is given once a sequence: there
// is one page, which starts anew where a sequence does, and steps without events present it once more.
// Reading takes a cycle: `out_sums` are those of `out_row` in the last cycle with `out_read`. Readers count in rows of VIEW
// sums, so that few neuron units can serve many lanes.
// Latency: 5 cycles from a visit to its sums; throughput: a visit a cycle, the same row as often as may be.
`default_nettype none

module squat_scatter_plane #(
    parameter int PE = 1,
    parameter int GROUPS = 1,            // rows of a position
    parameter int POSITIONS = 1,
    parameter int VALUE = 1,             // bits of an event's number; 1 where all are spikes
    parameter bit VALUE_SIGNED = 1'b0,
    parameter int WEIGHT = 4,            // bits of a weight
    parameter bit BIPOLAR = 1'b0,        // weights are -1 (0) and +1 (1)
    parameter int WORDS = 2,             // rows of weights
    parameter int SUM = 12,              // bits of a sum
    parameter bit HELD = 1'b0,
    parameter bit RESTORED = 1'b1,       // the one reader reads every row of a step once, in their order
    parameter int READERS = 1,
    parameter int VIEW = PE,             // sums that are read at once: PE / VIEW parts a row, a power of two
    parameter int VIEWS = GROUPS * POSITIONS,  // of these
    parameter int FLAGS = 2,
    parameter     WEIGHTS = "",          // file of WORDS rows of PE weights
    parameter     START = "",            // file of start values: GROUPS rows of PE sums
    localparam int ROWS = GROUPS * POSITIONS,
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1,
    localparam int WORD = WORDS > 1 ? $clog2(WORDS) : 1,
    localparam int SEEN = VIEWS > 1 ? $clog2(VIEWS) : 1
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic                      in_valid,
    output      logic                      in_ready,
    input  wire logic                      in_end,
    input  wire logic [FLAGS-1:0]          in_flags,
    input  wire logic                      in_keep,
    input  wire logic [WORD-1:0]           in_word,
    input  wire logic [ROW-1:0]            in_place,   // position * GROUPS + group
    input  wire logic [VALUE-1:0]          in_value,
    output      logic [READERS-1:0]        out_full,   // a step's sums are complete
    output      logic [READERS*FLAGS-1:0]  out_flags,
    input  wire logic [READERS*SEEN-1:0]   out_row,
    input  wire logic [READERS-1:0]        out_read,
    output      logic [READERS*VIEW*SUM-1:0] out_sums,
    input  wire logic [READERS-1:0]        out_done    // the last row is read
);
    localparam int BANKS = HELD ? 1 : 2;
    localparam int GROUP = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int SHARE = PE / VIEW;
    localparam int PART = SHARE > 1 ? $clog2(SHARE) : 1;

    // Stage 0: a visit is taken where its bank is free, and holds start values.
    logic bank = 1'b0;        // that this step adds to
    logic fresh = 1'b1;       // no visit of this step has been taken
    logic [1:0] taken = '0;   // banks that a step adds to, or neurons read
    logic [1:0] clean = '0;   // banks that hold start values
    logic [1:0] full = '0;    // banks with complete sums
    logic [FLAGS-1:0] flags [2];
    logic begins, go;
    assign begins = !taken[bank] && (clean[bank] || (HELD && !in_flags[0]));
    assign go = in_valid && (!fresh || begins);
    assign in_ready = !fresh || begins;

    // Start values for a whole bank.
    logic sweeping = 1'b0;
    logic swept_bank, sweeps, swept_bank_next;
    logic [ROW-1:0] swept = '0;
    logic [GROUP-1:0] swept_group = '0;
    logic swept_all;
    if (HELD) begin : g_sequence
        assign sweeps = in_valid && fresh && in_flags[0] && !taken[0] && !clean[0];
        assign swept_bank_next = 1'b0;
    end else begin : g_step
        assign sweeps = |(~clean & ~taken);
        assign swept_bank_next = clean[0] || taken[0];
    end
    assign swept_all = sweeping && swept == ROW'(ROWS - 1);

    // Stage 1: the row of weights comes.
    logic s1_valid = 1'b0;
    logic s1_keep, s1_end, s1_bank;
    logic [FLAGS-1:0] s1_flags;
    logic [ROW-1:0] s1_row;
    logic [VALUE-1:0] s1_value;
    logic [PE*WEIGHT-1:0] s1_weights;
    squat_rom #(.WIDTH(PE * WEIGHT), .DEPTH(WORDS > 1 ? WORDS : 2), .FILE(WEIGHTS)) weights (
        .clk, .address(in_word), .word(s1_weights)
    );
    always_ff @(posedge clk) begin
        s1_valid <= go && !rst;
        s1_keep <= in_keep && (!HELD || in_flags[0]);
        s1_end <= in_end;
        s1_bank <= bank;
        s1_flags <= in_flags;
        s1_row <= in_place;
        s1_value <= in_value;
    end

    // Stage 2: what every lane adds, and the row of sums that it is added to, as it was before the three visits ahead.
    logic s2_valid = 1'b0;
    logic s2_keep, s2_end, s2_bank;
    logic [2:0] s2_same;                // the visit 1, 2, 3 cycles ahead is of the same row
    logic [FLAGS-1:0] s2_flags;
    logic [ROW-1:0] s2_row;
    logic [PE*SUM-1:0] s2_added, added;
    for (genvar lane = 0; lane < PE; lane++) begin : g_product
        squat_product #(
            .WEIGHT(WEIGHT), .BIPOLAR(BIPOLAR), .VALUE(VALUE), .VALUE_SIGNED(VALUE_SIGNED), .SUM(SUM)
        ) times (
            .code(s1_weights[lane*WEIGHT+:WEIGHT]), .number(s1_value), .product(added[lane*SUM+:SUM])
        );
    end

    // Stage 3: the addition, to what the visit ahead has made of the same row. Stage 4: the sums are written.
    logic s3_valid = 1'b0, s4_valid = 1'b0;
    logic s3_keep, s3_end, s3_bank, s3_same, s4_keep, s4_end, s4_bank;
    logic [FLAGS-1:0] s3_flags, s4_flags;
    logic [ROW-1:0] s3_row, s4_row;
    logic [PE*SUM-1:0] s3_added, known, earlier, renewed, s4_sums, s5_sums;
    logic [PE*SUM-1:0] word [BANKS];    // that the first reader, or an addition, has read
    assign earlier = s3_same ? s4_sums : known;
    for (genvar lane = 0; lane < PE; lane++) begin : g_sum
        assign renewed[lane*SUM+:SUM] = earlier[lane*SUM+:SUM] + s3_added[lane*SUM+:SUM];
    end

    always_ff @(posedge clk) begin
        {s2_valid, s3_valid, s4_valid} <= rst ? '0 : {s1_valid, s2_valid, s3_valid};
        {s2_keep, s2_end, s2_bank, s2_flags, s2_row} <= {s1_keep, s1_end, s1_bank, s1_flags, s1_row};
        {s3_keep, s3_end, s3_bank, s3_flags, s3_row} <= {s2_keep, s2_end, s2_bank, s2_flags, s2_row};
        {s4_keep, s4_end, s4_bank, s4_flags, s4_row} <= {s3_keep, s3_end, s3_bank, s3_flags, s3_row};
        s2_same[0] <= s2_valid && s2_keep && s2_bank == s1_bank && s2_row == s1_row;
        s2_same[1] <= s3_valid && s3_keep && s3_bank == s1_bank && s3_row == s1_row;
        s2_same[2] <= s4_valid && s4_keep && s4_bank == s1_bank && s4_row == s1_row;
        s2_added <= added;
        s3_same <= s2_same[0];
        s3_added <= s2_added;
        known <= s2_same[1] ? s4_sums : s2_same[2] ? s5_sums : word[HELD ? 0 : s2_bank];
        s4_sums <= renewed;
        s5_sums <= s4_sums;
    end

    logic reading = 1'b0;               // the bank that is read
    logic restores = 1'b0;              // start values are written where a row was read
    logic read_bank;
    logic [ROW-1:0] read_row;
    logic row_ends;                     // the last part of a row is read
    assign row_ends = SHARE == 1 || PART'(out_row) == PART'(SHARE - 1);
    logic [GROUP-1:0] read_group;
    logic [GROUP-1:0] group = '0;
    logic [PE*SUM-1:0] starts [GROUPS];
    logic [PE*SUM-1:0] swept_start, read_start;  // one bank may be swept while another one is read
    initial $readmemh(START, starts);
    assign swept_start = starts[GROUPS > 1 ? swept_group : '0];
    assign read_start = starts[GROUPS > 1 ? read_group : '0];

    for (genvar b = 0; b < BANKS; b++) begin : g_bank
        logic swept_here, restored_here, added_here;
        logic [ROW-1:0] place;
        logic [PE*SUM-1:0] number;
        assign swept_here = sweeping && swept_bank == 1'(b);
        assign restored_here = restores && read_bank == 1'(b);
        assign added_here = s4_valid && s4_keep && s4_bank == 1'(b);
        assign place = swept_here ? swept : restored_here ? read_row : s4_row;
        assign number = swept_here ? swept_start : restored_here ? read_start : s4_sums;
        for (genvar r = 0; r < READERS; r++) begin : g_copy
            logic [PE*SUM-1:0] found;
            squat_ram #(.WIDTH(PE * SUM), .DEPTH(ROWS)) sums (
                .clk,
                .write(swept_here || restored_here || added_here),
                .write_at(place),
                .written(number),
                .read(!full[b] || out_read[r]),
                .read_at(full[b] ? ROW'(out_row[r*SEEN+:SEEN] >> (SHARE > 1 ? PART : 0)) : s1_row),
                .word(found)
            );
        end
        assign word[b] = g_copy[0].found;
    end

    // Complete steps, in their order.
    logic [READERS-1:0] done = '0;  // readers that have taken this one
    logic released;
    assign released = (done | out_done) == '1;

    always_ff @(posedge clk) begin
        if (s4_valid && s4_end) flags[s4_bank] <= s4_flags;
        read_bank <= reading;
        read_row <= ROW'(out_row[SEEN-1:0] >> (SHARE > 1 ? PART : 0));
        read_group <= group;
        if (swept_all) begin
            swept <= '0;
            swept_group <= '0;
        end else if (sweeping) begin
            swept <= swept + 1'b1;
            swept_group <= swept_group == GROUP'(GROUPS - 1) ? '0 : swept_group + 1'b1;
        end
        if (!sweeping) swept_bank <= swept_bank_next;
        if (rst) begin
            bank <= 1'b0;
            fresh <= 1'b1;
            taken <= '0;
            clean <= '0;
            full <= '0;
            done <= '0;
            reading <= 1'b0;
            restores <= 1'b0;
            group <= '0;
            sweeping <= 1'b0;
            swept <= '0;
            swept_group <= '0;
        end else begin
            restores <= RESTORED && !HELD && out_read[0] && row_ends;
            if (out_read[0] && row_ends) group <= group == GROUP'(GROUPS - 1) ? '0 : group + 1'b1;
            sweeping <= sweeping ? !swept_all : sweeps;
            if (swept_all) clean[swept_bank] <= 1'b1;
            if (go) begin
                fresh <= in_end;
                taken[bank] <= 1'b1;
                clean[bank] <= 1'b0;
                if (in_end && !HELD) bank <= !bank;
            end
            if (s4_valid && s4_end) full[s4_bank] <= 1'b1;
            done <= released ? '0 : done | out_done;
            if (released) begin
                full[reading] <= 1'b0;
                taken[reading] <= 1'b0;
                clean[reading] <= RESTORED && !HELD;
                if (!HELD) reading <= !reading;
            end
        end
    end

    for (genvar r = 0; r < READERS; r++) begin : g_reader
        logic from;                    // the bank of the row that was read
        logic come;                    // that has come now
        logic [PART-1:0] part;         // of that row
        logic [PE*SUM-1:0] row;
        logic [VIEW*SUM-1:0] parts [SHARE];
        logic [VIEW*SUM-1:0] seen, kept;  // its sums; the bank may be added to while they stay here
        always_ff @(posedge clk) begin
            come <= out_read[r];
            if (out_read[r]) begin
                from <= reading;
                part <= PART'(out_row[r*SEEN+:SEEN]);
            end
            if (come) kept <= seen;
        end
        for (genvar s = 0; s < SHARE; s++) begin : g_part
            assign parts[s] = row[s*VIEW*SUM+:VIEW*SUM];
        end
        if (SHARE > 1) begin : g_chosen
            assign seen = parts[part];
        end else begin : g_all
            assign seen = parts[0];
            wire unused_part = &{1'b0, part};
        end
        if (HELD) begin : g_one
            assign row = g_bank[0].g_copy[r].found;
            wire unused = &{1'b0, from};
        end else begin : g_two
            assign row = from ? g_bank[1].g_copy[r].found : g_bank[0].g_copy[r].found;
        end
        assign out_sums[r*VIEW*SUM+:VIEW*SUM] = come ? seen : kept;
        assign out_full[r] = full[reading] && !done[r];
        assign out_flags[r*FLAGS+:FLAGS] = flags[reading];
    end
endmodule

`default_nettype wire


// ---- Properties, put before the end of squat_scatter.
// shows: the sums of a step are its start values and all its events times their weights, every event once, steps in their order, with their flags; a held input is presented again; beats wait for a free page alone, and steps are complete in time
// case: PE=1 GROUPS=2 SIMD=1 INDEX=1 ENTRIES=2 WEIGHT=2 SUM=4 COLUMN=1 DEPTH=2 WEIGHTS=one_ START=start.hex cycles=14 twins=12
// case: PE=1 GROUPS=1 SIMD=2 INDEX=1 ENTRIES=2 VALUE=2 VALUE_SIGNED=1 WEIGHT=2 SUM=5 ADDING=2 COLUMN=2 DEPTH=2 WEIGHTS=two_ START=start.hex cycles=12
// case: PE=1 GROUPS=2 SIMD=1 INDEX=1 ENTRIES=2 WEIGHT=1 BIPOLAR=1 SUM=4 HELD=1 COLUMN=1 DEPTH=4 WEIGHTS=sign_ START=start.hex cycles=14 twins=12
// memory one_00.hex: 1 2 3 0
// memory one_00_000_000.hex: 1 0
// memory one_00_000_001.hex: 1 0
// memory one_00_001_000.hex: 0 1
// memory one_00_001_001.hex: 1 0
// memory two_00.hex: 1 2
// memory two_00_000_000.hex: 1 2
// memory two_01.hex: 3 1
// memory two_01_000_000.hex: 3 1
// memory sign_00.hex: 1 0 0 1
// memory sign_00_000_000.hex: 1 0 0 1
// memory start.hex: 2 e
    (* anyconst *) logic [ROW-1:0] proof_row;   // any sum may be the one that is followed, of the first lane
    logic [SIMD*PE*WEIGHT-1:0] proof_weights;   // of its row and the events of this beat
    for (genvar b = 0; b < SIMD; b++) begin : g_proof
        localparam logic [7:0] ONES = 8'(48 + b);
        logic [PE*WEIGHT-1:0] rows [ENTRIES * GROUPS];
        initial $readmemh({WEIGHTS, "0", ONES, ".hex"}, rows);
        assign proof_weights[b*PE*WEIGHT+:PE*WEIGHT] = rows[int'(in_index[b*INDEX+:INDEX]) * GROUPS + int'(proof_row)];
    end
    logic [PE*SUM-1:0] proof_starts [GROUPS];
    initial $readmemh(START, proof_starts);

    logic signed [SUM-1:0] proof_sum = '0;      // of the step that comes in
    logic proof_fresh = 1'b1;                   // its first beat has not come
    logic proof_begun = 1'b0;                   // a sequence has begun since the reset
    logic [2:0] proof_full = '0;                // steps that came whole and were not read, oldest first
    logic [SUM-1:0] proof_first = '0;
    logic [SUM-1:0] proof_second = '0;
    logic [FLAGS-1:0] proof_first_flags = '0;
    logic [FLAGS-1:0] proof_second_flags = '0;
    logic proof_looks = 1'b0;
    logic [SUM-1:0] proof_seen = '0;
    logic proof_waits = 1'b0;
    logic [SIMD*(INDEX+VALUE+1)+FLAGS:0] proof_offered = '0;
    logic [7:0] proof_still = '0;               // cycles for which a beat, and a whole step, has waited
    logic [7:0] proof_late = '0;

    logic proof_take, proof_again;
    logic signed [SUM-1:0] proof_total;         // of this beat
    logic signed [SUM-1:0] proof_after;
    assign proof_take = in_valid && in_ready;
    assign proof_again = HELD && proof_fresh && in_end && in_keep == '0 && !in_flags[0];
    always_comb begin
        int weight, number;
        proof_total = '0;
        for (int b = 0; b < SIMD; b++) begin
            weight = BIPOLAR ? (proof_weights[b*PE*WEIGHT] ? 1 : -1) : 32'($signed(proof_weights[b*PE*WEIGHT+:WEIGHT]));
            number = VALUE_SIGNED ? 32'($signed(in_value[b*VALUE+:VALUE])) : 32'(in_value[b*VALUE+:VALUE]);
            if (VALUE == 1) number = 1;
            if (in_keep[b]) proof_total = proof_total + SUM'(weight * number);
        end
        proof_after = proof_again ? proof_sum : (proof_fresh ? proof_starts[proof_row][SUM-1:0] : proof_sum) + proof_total;
    end

    always_ff @(posedge clk) begin
        proof_waits <= !rst && in_valid && !in_ready;
        proof_offered <= {in_end, in_flags, in_keep, in_index, in_value};
        proof_still <= rst || !in_valid || in_ready || proof_full == 3'(HELD ? 1 : 2) ? '0 : proof_still + 1'b1;
        proof_late <= rst || proof_full == '0 || out_full[0] ? '0 : proof_late + 1'b1;
        if (out_read[0]) begin
            proof_looks <= !rst && out_full[0] && out_row[ROW-1:0] == proof_row;
            proof_seen <= proof_first;
        end
        if (rst) begin
            proof_fresh <= 1'b1;
            proof_begun <= 1'b0;
            proof_full <= '0;
            proof_looks <= 1'b0;
        end else begin
            if (proof_take) begin
                proof_sum <= proof_after;
                proof_fresh <= in_end;
                proof_begun <= 1'b1;
            end
            proof_full <= proof_full + 3'(proof_take && in_end) - 3'(out_done[0]);
            if (out_done[0]) begin
                proof_first <= proof_second;
                proof_first_flags <= proof_second_flags;
            end
            if (proof_take && in_end && proof_full - 3'(out_done[0]) == '0) begin
                proof_first <= proof_after;
                proof_first_flags <= in_flags;
            end
            if (proof_take && in_end && proof_full - 3'(out_done[0]) == 3'd1) begin
                proof_second <= proof_after;
                proof_second_flags <= in_flags;
            end
        end
    end

    always_comb begin
        assume (int'(proof_row) < GROUPS);
        if (proof_waits) assume (in_valid && {in_end, in_flags, in_keep, in_index, in_value} == proof_offered);
        if (in_valid && !proof_begun) assume (in_flags[0]);
        if (out_done[0]) assume (out_full[0]);
        if (out_read[0]) assume (int'(out_row[ROW-1:0]) < GROUPS);

        if (out_full[0]) begin
            whole: assert (proof_full != '0);
            flags_of: assert (out_flags[FLAGS-1:0] == proof_first_flags);
        end
        if (proof_looks) sum_of: assert (out_sums[SUM-1:0] == proof_seen);
        two_pages: assert (int'(proof_full) <= (HELD ? 1 : 2));
        moves: assert (int'(proof_still) <= GROUPS);
        in_time: assert (int'(proof_late) <= 8);
    end


// ---- Properties, put before the end of squat_scatter_plane.
// shows: the sums of a step are its start values and all its visits times their weights, every visit once, steps in their order, with their flags; a held input is presented again; visits wait for a free page alone
// case: PE=2 GROUPS=1 POSITIONS=2 WEIGHT=1 BIPOLAR=1 WORDS=2 SUM=3 WEIGHTS=pairs.hex START=pair.hex VIEW=1 VIEWS=4 cycles=14
// case: PE=1 GROUPS=1 POSITIONS=2 WEIGHT=2 WORDS=2 SUM=4 WEIGHTS=words.hex START=start.hex VIEWS=2 cycles=14 twins=12
// case: PE=1 GROUPS=2 POSITIONS=4 WEIGHT=2 WORDS=2 SUM=4 WEIGHTS=words.hex START=apart.hex VIEWS=8 cycles=20
// case: PE=1 GROUPS=2 POSITIONS=1 VALUE=2 VALUE_SIGNED=1 WEIGHT=2 WORDS=2 SUM=5 RESTORED=0 WEIGHTS=words.hex START=starts.hex VIEWS=2 cycles=12
// case: PE=1 GROUPS=1 POSITIONS=2 WEIGHT=1 BIPOLAR=1 WORDS=2 SUM=4 HELD=1 RESTORED=0 WEIGHTS=signs.hex START=start.hex VIEWS=2 cycles=12 twins=12
// memory pairs.hex: 2 1
// memory pair.hex: 0b
// memory words.hex: 3 1
// memory signs.hex: 1 0
// memory start.hex: e
// memory apart.hex: 2 d
// memory starts.hex: 2 1d
    (* anyconst *) logic [ROW-1:0] proof_row;   // any sum may be the one that is followed, of the last lane
    logic [PE*WEIGHT-1:0] proof_words [WORDS];
    logic [PE*SUM-1:0] proof_starts [GROUPS];
    initial $readmemh(WEIGHTS, proof_words);
    initial $readmemh(START, proof_starts);

    logic signed [SUM-1:0] proof_sum = '0;      // of the step that comes in
    logic proof_fresh = 1'b1;                   // its first visit has not come
    logic proof_begun = 1'b0;                   // a sequence has begun since the reset
    logic [2:0] proof_full = '0;                // steps that came whole and were not read, oldest first
    logic [SUM-1:0] proof_first = '0;
    logic [SUM-1:0] proof_second = '0;
    logic [FLAGS-1:0] proof_step = '0;          // flags of the step that comes in, and of those
    logic [FLAGS-1:0] proof_first_flags = '0;
    logic [FLAGS-1:0] proof_second_flags = '0;
    logic proof_looks = 1'b0;
    logic [SUM-1:0] proof_seen = '0;
    logic [SEEN:0] proof_read = '0;             // rows of the page that have been read
    logic proof_waits = 1'b0;
    logic [WORD+ROW+VALUE+FLAGS+1:0] proof_offered = '0;
    logic [7:0] proof_late = '0;                // cycles for which a whole step has not been full

    logic proof_take, proof_again, proof_fits;
    int proof_weight, proof_number;
    logic signed [SUM-1:0] proof_start, proof_before, proof_after;
    assign proof_take = in_valid && in_ready;
    assign proof_again = HELD && !in_flags[0];
    assign proof_start = proof_starts[int'(proof_row) % GROUPS][(PE-1)*SUM+:SUM];
    assign proof_fits = in_keep && in_place == proof_row && !proof_again;
    always_comb begin
        proof_weight = 32'($signed(proof_words[in_word][(PE-1)*WEIGHT+:WEIGHT]));
        if (BIPOLAR && proof_words[in_word][PE-1]) proof_weight = 1;
        else if (BIPOLAR) proof_weight = -1;
        proof_number = VALUE_SIGNED ? 32'($signed(in_value)) : 32'(in_value);
        if (VALUE == 1) proof_number = 1;
        proof_before = proof_fresh && !proof_again ? proof_start : proof_sum;
        proof_after = proof_fits ? proof_before + SUM'(proof_weight * proof_number) : proof_before;
    end

    always_ff @(posedge clk) begin
        proof_waits <= !rst && in_valid && !in_ready;
        proof_offered <= {in_end, in_flags, in_keep, in_word, in_place, in_value};
        proof_late <= rst || proof_full == '0 || out_full[0] ? '0 : proof_late + 1'b1;
        if (out_read[0]) begin
            proof_looks <= !rst && out_full[0] && int'(out_row[SEEN-1:0]) == int'(proof_row) * SHARE + SHARE - 1;
            proof_seen <= proof_first;
        end
        if (rst) begin
            proof_fresh <= 1'b1;
            proof_begun <= 1'b0;
            proof_full <= '0;
            proof_looks <= 1'b0;
            proof_read <= '0;
        end else begin
            if (out_read[0]) proof_read <= out_done[0] ? '0 : proof_read + 1'b1;
            if (proof_take) begin
                proof_sum <= proof_after;
                proof_fresh <= in_end;
                proof_begun <= 1'b1;
                proof_step <= in_flags;
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
        assume (int'(proof_row) < ROWS);
        if (proof_waits) assume (in_valid && {in_end, in_flags, in_keep, in_word, in_place, in_value} == proof_offered);
        if (in_valid) begin
            assume (int'(in_word) < WORDS && int'(in_place) < ROWS);
            assume (proof_begun || in_flags[0]);
            assume (proof_fresh || in_flags == proof_step);
        end
        // A reader takes every row of a page once, in order, and gives the page back with the last.
        if (out_read[0]) assume (out_full[0] && (SEEN + 1)'(out_row) == proof_read);
        assume (out_done[0] == (out_read[0] && int'(proof_read) == VIEWS - 1));

        if (out_full[0]) begin
            whole: assert (proof_full != '0);
            flags_of: assert (out_flags[FLAGS-1:0] == proof_first_flags);
        end
        if (proof_looks) sum_of: assert (out_sums[(VIEW-1)*SUM+:SUM] == proof_seen);
        if (g_bank[0].restored_here) restored: assert (g_bank[0].number == proof_starts[int'(read_row) % GROUPS]);
        two_pages: assert (int'(proof_full) <= (HELD ? 1 : 2));
        in_time: assert (int'(proof_late) <= 6);
    end


// ---- Properties, put before the end of squat_sums.
// shows: a reader gets the start value and all additions of a step, no other, once; steps in their order, with their flags; a page is free again when all have read it, and not before
// case: PE=1 ROWS=2 SUM=3 READERS=2 START=start.hex cycles=9
// case: PE=1 ROWS=2 SUM=2 APART=3 READ=2 START=start.hex cycles=14 twins=14
// case: PE=2 ROWS=1 SUM=2 HELD=1 START=start_pair.hex cycles=12 twins=12
// case: PE=2 ROWS=2 SUM=2 APART=1 VIEW=1 VIEWS=4 START=start_pairs.hex cycles=9
// case: PE=3 ROWS=1 SUM=1 VIEW=1 VIEWS=3 READ=2 START=start_three.hex cycles=9
// case: PE=1 ROWS=1 SUM=2 START=start_one.hex cycles=9 twins=10
// memory start_one.hex: 2
// memory start.hex: 5 2
// memory start_pairs.hex: 9 3
// memory start_pair.hex: 9
// memory start_three.hex: 5
    (* anyconst *) logic [ROW-1:0] proof_row;   // any number of a row may be the one that is followed
    (* anyconst *) logic [7:0] proof_lane;
    logic [PE*SUM-1:0] proof_starts [ROWS];
    initial $readmemh(START, proof_starts);

    logic [SUM-1:0] proof_sum = '0;             // of the step that is added up
    logic [ROWS-1:0] proof_touched = '0;        // its rows that have been added to
    logic proof_added = 1'b0;                   // some step has been added up since the reset
    logic [2:0] proof_claimed = '0;             // steps that have claimed a page, and not ended, not been read
    logic [2:0] proof_full = '0;                // steps that can be read, oldest first
    logic [SUM-1:0] proof_first = '0;
    logic [SUM-1:0] proof_second = '0;
    logic [FLAGS-1:0] proof_first_flags = '0;
    logic [FLAGS-1:0] proof_second_flags = '0;
    logic [READERS-1:0] proof_done = '0;
    logic [READERS-1:0] proof_looks [READ];     // the row that is followed was read from a full page, so many reads ago
    logic [SUM-1:0] proof_seen [READ][READERS];
    logic [APART:0] proof_adds = '0;            // what was added to in the cycles before
    logic [ROW-1:0] proof_rows [APART + 1];

    logic [SUM-1:0] proof_start, proof_number, proof_after;
    logic proof_ends, proof_release;
    logic [SEEN-1:0] proof_view;                // the row of a reader in which it is, and the place there
    int proof_part;
    assign proof_view = SEEN'(int'(proof_row) * SHARE + int'(proof_lane) / VIEW);
    assign proof_part = int'(proof_lane) % VIEW;
    assign proof_start = proof_starts[proof_row][int'(proof_lane)*SUM+:SUM];
    assign proof_number = add_numbers[int'(proof_lane)*SUM+:SUM];
    assign proof_after = !add || add_again || add_row != proof_row ? proof_sum
        : (proof_touched[proof_row] ? proof_sum : proof_start) + proof_number;
    assign proof_ends = add && add_end;
    assign proof_release = (proof_done | out_done) == '1;

    logic [2:0] proof_late = '0;                // cycles in which a step could be read, and was not full
    logic proof_waits = 1'b0;                   // it was full, and somebody has not read it
    always_ff @(posedge clk) begin
        proof_late <= rst || proof_full == '0 || proof_release || out_full != '0 ? '0 : proof_late + 1'b1;
        proof_adds <= rst ? '0 : (APART + 1)'({proof_adds, add && !add_again});
        proof_rows[0] <= add_row;
        for (int i = 1; i <= APART; i++) proof_rows[i] <= proof_rows[i-1];
        proof_waits <= !rst && out_full != '0 && !proof_release;
        for (int r = 0; r < READERS; r++) begin
            if (out_read[r]) begin
                proof_looks[0][r] <= out_full[r] && out_row[r*SEEN+:SEEN] == proof_view;
                proof_seen[0][r] <= proof_first;
                for (int i = 1; i < READ; i++) proof_looks[i][r] <= proof_looks[i-1][r];
                for (int i = 1; i < READ; i++) proof_seen[i][r] <= proof_seen[i-1][r];
            end
            if (rst) for (int i = 0; i < READ; i++) proof_looks[i][r] <= 1'b0;
        end
        if (rst) begin
            proof_touched <= '0;
            proof_added <= 1'b0;
            proof_claimed <= '0;
            proof_full <= '0;
            proof_done <= '0;
        end else begin
            proof_sum <= proof_after;
            if (add) proof_touched <= add_end ? '0 : proof_touched | ROWS'(1) << add_row;
            if (proof_ends) proof_added <= 1'b1;
            proof_claimed <= proof_claimed + 3'(claim) - 3'(proof_release);
            proof_full <= proof_full + 3'(proof_ends) - 3'(proof_release);
            proof_done <= proof_release ? '0 : proof_done | out_done;
            if (proof_release) begin
                proof_first <= proof_second;
                proof_first_flags <= proof_second_flags;
            end
            if (proof_ends && proof_full - 3'(proof_release) == '0) begin
                proof_first <= proof_after;
                proof_first_flags <= add_flags;
            end
            if (proof_ends && proof_full - 3'(proof_release) == 3'd1) begin
                proof_second <= proof_after;
                proof_second_flags <= add_flags;
            end
        end
    end

    always_comb begin
        assume (int'(proof_row) < ROWS && int'(proof_lane) < PE);
        if (claim) assume (free);
        if (add) begin
            assume (proof_claimed > proof_full && int'(add_row) < ROWS);
            if (add_again) assume (HELD && add_end && proof_added && proof_touched == '0);
            else assume (add_first == !proof_touched[add_row]);
            for (int i = 0; i < APART; i++) if (!add_again && proof_adds[i]) assume (add_row != proof_rows[i]);
            if (add_end && !add_again) assume ((proof_touched | ROWS'(1) << add_row) == '1);
        end
        for (int r = 0; r < READERS; r++) begin
            if (out_done[r]) assume (out_full[r]);
            if (out_read[r]) assume (int'(out_row[r*SEEN+:SEEN]) < VIEWS);
        end

        page_is_free: assert (free == (int'(proof_claimed) < PAGES));
        full_when_added: assert ((out_full & (proof_full != '0 ? proof_done : '1)) == '0);
        full_for_all: assert (out_full == '0 || out_full == ~proof_done);
        in_time: assert (int'(proof_late) <= 1 + APART);
        if (proof_waits) stays: assert (out_full == ~proof_done);
        if (out_full[0]) flags_of: assert (out_flags[FLAGS-1:0] == proof_first_flags);
        if (out_full[READERS-1]) flags_same: assert (out_flags[(READERS-1)*FLAGS+:FLAGS] == proof_first_flags);
        if (proof_looks[READ-1][0]) sum_of: assert (out_sums[proof_part*SUM+:SUM] == proof_seen[READ-1][0]);
        if (proof_looks[READ-1][READERS-1]) begin
            sum_same: assert (out_sums[((READERS-1)*VIEW+proof_part)*SUM+:SUM] == proof_seen[READ-1][READERS-1]);
        end
    end
    initial for (int i = 0; i < READ; i++) proof_looks[i] = '0;

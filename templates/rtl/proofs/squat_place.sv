
// ---- Properties, put before the end of squat_place.
// shows: the sums of a step are those of the numbers of its events, each where the table says, every event once, 0 where none was; steps in order, with their flags; a held input is presented again; events wait for a free page alone, and steps are complete in time
// case: PE=2 ROWS=2 ENTRIES=3 INDEX=2 VALUE=2 VALUE_SIGNED=1 SUM=3 PLACES=places.hex START=zeros.hex cycles=11 twins=10
// case: PE=1 ROWS=1 ENTRIES=1 INDEX=1 VALUE=1 SUM=3 PLACES=place.hex START=zero.hex cycles=12
// case: PE=1 ROWS=2 ENTRIES=2 INDEX=1 VALUE=1 SUM=3 HELD=1 PLACES=lines.hex START=zeros.hex cycles=14 twins=12
// memory places.hex: 1 2 0
// memory place.hex: 0 0
// memory lines.hex: 2 0
// memory zeros.hex: 0 0
// memory zero.hex: 0
    (* anyconst *) logic [ROW-1:0] proof_row;   // any sum may be the one that is followed
    (* anyconst *) logic [LANE-1:0] proof_lane;
    logic [ROW+LANE-1:0] proof_places [DEPTH];
    initial $readmemh(PLACES, proof_places);

    logic signed [SUM-1:0] proof_sum = '0;      // of the step that comes in
    logic proof_fresh = 1'b1;                   // its first beat has not come
    logic proof_begun = 1'b0;                   // a sequence has begun since the reset
    logic [FLAGS-1:0] proof_step = '0;          // flags of that step
    logic [1:0] proof_full = '0;                // steps that came whole and were not read, oldest first
    logic [SUM-1:0] proof_first = '0;
    logic [SUM-1:0] proof_second = '0;
    logic [FLAGS-1:0] proof_first_flags = '0;
    logic [FLAGS-1:0] proof_second_flags = '0;
    logic proof_looks = 1'b0;
    logic [SUM-1:0] proof_seen = '0;
    logic proof_waits = 1'b0;
    logic [INDEX+VALUE+FLAGS+1:0] proof_offered = '0;
    logic [3:0] proof_still = '0;               // cycles for which a beat, and a whole step, has waited
    logic [3:0] proof_late = '0;

    logic proof_take, proof_again;
    logic [1:0] proof_left;                     // whole steps without the one that is given back now
    logic signed [SUM-1:0] proof_after;
    assign proof_take = in_valid && in_ready;
    assign proof_again = HELD && !in_flags[0];
    assign proof_left = proof_full - 2'(out_done[0]);
    always_comb begin
        proof_after = proof_fresh && !proof_again ? '0 : proof_sum;
        if (in_keep && proof_places[in_index] == {proof_row, proof_lane}) begin
            proof_after = proof_after + SUM'($signed({VALUE_SIGNED && in_value[VALUE-1], in_value}));
        end
    end

    always_ff @(posedge clk) begin
        proof_waits <= !rst && in_valid && !in_ready;
        proof_offered <= {in_end, in_flags, in_keep, in_index, in_value};
        proof_still <= rst || !in_valid || in_ready || proof_full == 2'(HELD ? 1 : 2) ? '0 : proof_still + 1'b1;
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
                proof_step <= in_flags;
            end
            proof_full <= proof_left + 2'(proof_take && in_end);
            if (out_done[0]) begin
                proof_first <= proof_second;
                proof_first_flags <= proof_second_flags;
            end
            if (proof_take && in_end && proof_left == '0) begin
                proof_first <= proof_after;
                proof_first_flags <= in_flags;
            end
            if (proof_take && in_end && proof_left == 2'd1) begin
                proof_second <= proof_after;
                proof_second_flags <= in_flags;
            end
        end
    end

    always_comb begin
        assume (int'(proof_row) < ROWS && int'(proof_lane) < PE);
        if (proof_waits) assume (in_valid && {in_end, in_flags, in_keep, in_index, in_value} == proof_offered);
        if (in_valid) begin
            assume (int'(in_index) < ENTRIES);
            assume (proof_begun || in_flags[0]);
            assume (proof_fresh || in_flags == proof_step);
            if (proof_again) assume (in_end && !in_keep);
        end
        if (out_done[0]) assume (out_full[0]);
        if (out_read[0]) assume (int'(out_row[ROW-1:0]) < ROWS);

        if (out_full[0]) begin
            whole: assert (proof_full != '0);
            flags_of: assert (out_flags[FLAGS-1:0] == proof_first_flags);
        end
        if (proof_looks) sum_of: assert (out_sums[int'(proof_lane)*SUM+:SUM] == proof_seen);
        two_pages: assert (int'(proof_full) <= (HELD ? 1 : 2));
        moves: assert (int'(proof_still) <= ROWS);
        in_time: assert (int'(proof_late) <= 4);
    end

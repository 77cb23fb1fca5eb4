
// ---- Properties, put before the end of squat_pool_sums.
// shows: a reader gets of every window the maximum or the sum of its places in the plane, padding left out; steps in order, with their flags; rows are asked for while a page is there, and it is given back once; nobody waits but for the other side, and a step takes no longer than it should
// case: PE=1 GROUPS=2 MOST=1 HEIGHT=1 WIDTH=2 LINES=1 COLUMNS=2 HIGH=1 WIDE=2 DOWN=1 RIGHT=1 ABOVE=0 LEFT=1 FROM=2 SUM=2 cycles=18
// case: PE=2 GROUPS=1 MOST=0 HEIGHT=2 WIDTH=1 LINES=3 COLUMNS=1 HIGH=2 WIDE=1 DOWN=1 RIGHT=1 ABOVE=1 LEFT=0 FROM=2 SUM=3 cycles=15 twins=13
// case: PE=1 GROUPS=1 MOST=1 HEIGHT=1 WIDTH=1 LINES=1 COLUMNS=1 HIGH=1 WIDE=1 DOWN=1 RIGHT=1 ABOVE=0 LEFT=0 FROM=2 SUM=2 READERS=2 cycles=14
    localparam int PROOF_CYCLES = ROWS * HIGH * WIDE + 3;      // of a step
    (* anyconst *) logic [ROW-1:0] proof_row;                  // any sum may be the one that is followed
    (* anyconst *) logic [7:0] proof_lane;
    (* anyseq *) logic [TAKEN*PE*FROM-1:0] proof_next;         // the page behind this one
    logic [TAKEN*PE*FROM-1:0] proof_page;                      // that is there; the first one may be any
    logic [PE*FROM-1:0] proof_asked = '0;                      // of the row that was read last
    logic proof_there = 1'b0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic [1:0] proof_full = '0;                               // steps that came whole and were not read, oldest first
    logic [SUM-1:0] proof_first = '0;
    logic [SUM-1:0] proof_second = '0;
    logic [FLAGS-1:0] proof_first_flags = '0;
    logic [FLAGS-1:0] proof_second_flags = '0;
    logic [READERS-1:0] proof_done = '0;
    logic [READERS-1:0] proof_looks = '0;
    logic [SUM-1:0] proof_seen [READERS];
    logic [7:0] proof_still = '0;                              // cycles that a page has waited while there was room

    // The followed sum of the page that is there, by its definition.
    logic signed [SUM-1:0] proof_sum, proof_number;
    logic proof_any;
    int proof_line, proof_column;
    always_comb begin
        proof_sum = '0;
        proof_any = 1'b0;
        proof_line = int'(proof_row) / GROUPS / COLUMNS * DOWN - ABOVE;
        proof_column = int'(proof_row) / GROUPS % COLUMNS * RIGHT - LEFT;
        for (int y = 0; y < HEIGHT; y++) begin
            for (int x = 0; x < WIDTH; x++) begin
                proof_number = SUM'($signed(proof_page[(((y*WIDTH+x)*GROUPS+int'(proof_row)%GROUPS)*PE+int'(proof_lane))*FROM+:FROM]));
                if (y >= proof_line && y < proof_line + HIGH && x >= proof_column && x < proof_column + WIDE) begin
                    if (!MOST) proof_sum = proof_sum + proof_number;
                    else if (!proof_any || proof_number > proof_sum) proof_sum = proof_number;
                    proof_any = 1'b1;
                end
            end
        end
    end

    logic proof_release;
    logic [1:0] proof_left;
    assign proof_release = (proof_done | out_done) == '1;
    assign proof_left = proof_full - 2'(proof_release);
    always_ff @(posedge clk) begin
        proof_there <= !rst && in_full && !in_done;
        proof_flags <= in_flags;
        if (in_done) proof_page <= proof_next;
        if (in_read) proof_asked <= proof_page[int'(in_row)*PE*FROM+:PE*FROM];
        proof_still <= rst || !in_full || in_done || proof_full == 2'd2 ? '0 : proof_still + 1'b1;
        for (int r = 0; r < READERS; r++) begin
            if (out_read[r]) begin
                proof_looks[r] <= !rst && out_full[r] && out_row[r*ROW+:ROW] == proof_row;
                proof_seen[r] <= proof_first;
            end
        end
        if (rst) begin
            proof_full <= '0;
            proof_done <= '0;
            proof_looks <= '0;
        end else begin
            proof_full <= proof_left + 2'(in_done);
            proof_done <= proof_release ? '0 : proof_done | out_done;
            if (proof_release) begin
                proof_first <= proof_second;
                proof_first_flags <= proof_second_flags;
            end
            if (in_done && proof_left == '0) begin
                proof_first <= proof_sum;
                proof_first_flags <= in_flags;
            end
            if (in_done && proof_left == 2'd1) begin
                proof_second <= proof_sum;
                proof_second_flags <= in_flags;
            end
        end
    end

    always_comb begin
        assume (int'(proof_row) < ROWS && int'(proof_lane) < PE);
        assume (in_sums == proof_asked);
        if (proof_there) assume (in_full && in_flags == proof_flags);
        for (int r = 0; r < READERS; r++) begin
            if (out_done[r]) assume (out_full[r]);
            if (out_read[r]) assume (int'(out_row[r*ROW+:ROW]) < ROWS);
        end
        if (in_read) asked_for: assert (in_full && int'(in_row) < TAKEN);
        if (in_done) given_back: assert (in_full && proof_full != 2'd2);
        shown: assert (out_full == (proof_full != '0 ? ~proof_done : '0));
        if (out_full[0]) flags_of: assert (out_flags[FLAGS-1:0] == proof_first_flags);
        if (out_full[READERS-1]) flags_same: assert (out_flags[(READERS-1)*FLAGS+:FLAGS] == proof_first_flags);
        if (proof_looks[0]) sum_of: assert (out_sums[int'(proof_lane)*SUM+:SUM] == proof_seen[0]);
        if (proof_looks[READERS-1]) begin
            sum_same: assert (out_sums[((READERS-1)*PE+int'(proof_lane))*SUM+:SUM] == proof_seen[READERS-1]);
        end
        in_time: assert (int'(proof_still) < PROOF_CYCLES);
    end

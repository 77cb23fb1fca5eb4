
// ---- Properties, put before the end of squat_neurons.
// shows: of every step each row is read once, in order, and comes out once, in order, with its flags; its state is that of the table, from REST where a sequence starts; the page is given back once; a row stays until it is taken; it waits for sums and takers alone
// case: PE=2 GROUPS=2 CHANNELS=3 SUM=3 STATE=2 STATES=4 LEVEL=2 KEY=4 REST=1 TABLE=own_ FIRE=fire_ cycles=14 twins=10
// case: PE=1 GROUPS=1 CHANNELS=1 SUM=3 STATE=2 STATES=4 LEVEL=2 KEY=5 KEYS=1 READ=2 REST=3 TABLE=shared_ OFFSET=offset_ FIRE=fire_ cycles=14 twins=10
// case: PE=1 GROUPS=2 CHANNELS=2 SUM=3 STATE=2 STATES=4 LEVEL=1 KEY=4 CARRIED=0 OWNERS=2 OWN=1 TABLE=owners_ SUCCESSOR=next_ FIRE=fires_ cycles=12 twins=10
// memory own_000.hex: e 0 2 7 f 1 3 7 0 1 2 7 d e 3 7
// memory fire_000.hex: 2
// memory shared_000.hex: 1e 01 03 0f
// memory shared_000_0.hex: 01
// memory shared_000_1.hex: 07e
// memory offset_000.hex: 00 01 1e 03
// memory owners_000.hex: e 7 f 7 1 7 2 7 0 7 3 7 1 7 d 7
// memory next_000.hex: 2 1 3 0 1 3 0 2 3 2 0 1 1 0 2 3
// memory fires_000.hex: 1 0
    localparam int PROOF_ENTRIES = 1 << LEVEL;
    logic signed [KEY-1:0] proof_table [OWNERS * (KEYS ? 1 : STATES) * PROOF_ENTRIES];
    logic signed [KEY-1:0] proof_offset [OWNERS * STATES];
    logic [STATE-1:0] proof_successor [OWNERS * STATES * (1 << LEVEL)];
    logic [LEVEL:0] proof_fire [OWNERS];
    initial $readmemh({TABLE, "000.hex"}, proof_table);
    initial $readmemh({FIRE, "000.hex"}, proof_fire);
    if (KEYS) begin : g_proof_offset
        initial $readmemh({OFFSET, "000.hex"}, proof_offset);
    end
    if (!CARRIED) begin : g_proof_successor
        initial $readmemh({SUCCESSOR, "000.hex"}, proof_successor);
    end

    (* anyconst *) logic [ROW-1:0] proof_row;   // any neuron may be the one that is followed
    (* anyconst *) logic [7:0] proof_lane;
    logic [STATE-1:0] proof_state = '0;
    logic [SUM-1:0] proof_sum = '0;
    logic proof_start = 1'b0;                   // the step starts a sequence
    logic [READ-1:0] proof_read = '0;           // the row was asked for so many reads ago: with the last its sum is there
    logic [ROW:0] proof_asked = '0;             // rows of the step that were read, and that came out
    logic [ROW:0] proof_given = '0;
    logic proof_begun = 1'b0;                   // a sequence has begun since the reset
    logic proof_full = 1'b0;                    // a page is offered and not given back
    logic [FLAGS-1:0] proof_flags = '0;         // of that page, and of the step that comes out
    logic [FLAGS-1:0] proof_step = '0;
    logic proof_kept = 1'b0;                    // no row was read: the sums stay
    logic [PE*SUM-1:0] proof_sums = '0;
    logic proof_waits = 1'b0;
    logic [FLAGS+PE*(STATE+1):0] proof_offered = '0;
    logic [7:0] proof_still = '0;               // cycles without anything

    logic proof_give;
    logic [STATE-1:0] proof_from, proof_next;
    logic signed [KEY-1:0] proof_key;
    logic [LEVEL:0] proof_level;
    int proof_owner, proof_base;
    assign proof_give = out_valid && out_ready;
    always_comb begin
        proof_from = proof_start ? STATE'(REST) : proof_state;
        proof_owner = OWNERS == 1 ? 0 : int'(proof_row);
        proof_key = KEY'($signed(proof_sum));
        if (KEYS) proof_key = proof_offset[proof_owner * STATES + int'(proof_from)] + (proof_key <<< FRACTION);
        proof_base = (KEYS ? proof_owner : proof_owner * STATES + int'(proof_from)) * PROOF_ENTRIES;
        proof_level = '0;
        for (int i = 0; i < PROOF_ENTRIES - 1; i++) if (proof_table[proof_base + i] <= proof_key) proof_level = (LEVEL + 1)'(i + 1);
        proof_next = STATE'(proof_level);
        if (!CARRIED) proof_next = proof_successor[(proof_owner * STATES + int'(proof_from)) * (1 << LEVEL) + int'(proof_level)];
    end

    always_ff @(posedge clk) begin
        proof_kept <= !in_read;
        proof_sums <= in_sums;
        proof_flags <= in_flags;
        proof_full <= !rst && in_full && !in_done;
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_last, out_flags, out_spikes, out_states};
        if (in_read || READ == 1) proof_read <= READ'({proof_read, issue && in_row == proof_row});
        if (rst) proof_read <= '0;
        proof_still <= rst || issue || in_done || proof_give || !out_ready || !in_full ? '0 : proof_still + 1'b1;
        if (proof_read[READ-1]) proof_sum <= in_sums[int'(proof_lane)*SUM+:SUM];
        if (rst) begin
            proof_begun <= 1'b0;
            proof_asked <= '0;
            proof_given <= '0;
        end else begin
            if (issue) begin
                proof_begun <= 1'b1;
                proof_asked <= proof_asked + 1'b1;
                proof_step <= in_flags;
                if (in_row == proof_row) proof_start <= in_flags[0];
            end
            if (proof_give) begin
                proof_given <= proof_given + 1'b1;
                if (proof_given == (ROW + 1)'(proof_row)) proof_state <= proof_next;
                if (out_last) begin
                    proof_asked <= '0;
                    proof_given <= '0;
                end
            end
        end
    end

    always_comb begin
        assume (int'(proof_row) < GROUPS && int'(proof_lane) < PE);
        if (proof_full) assume (in_full && in_flags == proof_flags);
        if (in_full && !proof_begun) assume (in_flags[0]);
        if (proof_kept) assume (in_sums == proof_sums);

        if (issue) begin
            read_full: assert (in_full && in_read);
            read_in_order: assert ((ROW + 1)'(in_row) == proof_asked && int'(proof_asked) < GROUPS);
        end
        if (in_done) given_back_after: assert (in_full && int'(proof_asked) + int'(issue) == GROUPS);
        if (out_valid) begin
            out_read: assert (proof_given < proof_asked);
            out_end: assert (out_last == (int'(proof_given) == GROUPS - 1));
            out_step: assert (out_flags == proof_step);
            if (proof_given == (ROW + 1)'(proof_row)) begin
                state_of: assert (out_states[int'(proof_lane)*STATE+:STATE] == proof_next);
                spike_of: assert (out_spikes[proof_lane] == (proof_level >= proof_fire[proof_owner]
                    && int'(proof_row) * PE + int'(proof_lane) < CHANNELS));
            end
        end
        if (proof_waits) stays: assert (out_valid && {out_last, out_flags, out_spikes, out_states} == proof_offered);
        moves: assert (int'(proof_still) <= LATENCY + 1);
    end

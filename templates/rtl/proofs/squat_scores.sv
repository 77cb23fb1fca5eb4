
// ---- Properties, put before the end of squat_scores.
// shows: a score is what its readout says of the rows since the sequence began; one packet a call, every class once, in their order; a word stays until it is taken; rows wait for a packet alone
// case: PE=2 GROUPS=2 POSITIONS=2 CLASSES=6 MODE=0 cycles=11 twins=10
// case: PE=1 GROUPS=2 CLASSES=2 MODE=1 cycles=10 twins=10
// case: PE=2 GROUPS=1 CLASSES=2 MODE=2 cycles=8
// case: PE=2 GROUPS=1 CLASSES=2 MODE=3 cycles=8
// case: PE=1 GROUPS=2 CLASSES=2 STATES=4 MODE=4 WORTH=worth.hex cycles=8
// memory worth.hex: 0000000000000003 ffffffffffffffff 0000000100000000 7000000000000000
    (* anyconst *) logic [CLASS-1:0] proof_class;  // any class may be the one that is followed
    logic [63:0] proof_score = '0;
    logic proof_begun = 1'b0;            // a sequence has begun since the reset
    logic [ROW-1:0] proof_row = '0;
    logic [1:0] proof_flags = '0;        // of the step
    logic proof_packet = 1'b0;           // a packet is due
    logic [CLASS+1:0] proof_sent = '0;   // words of it
    logic proof_waits = 1'b0;            // a row, or a word, was offered and not taken
    logic proof_word_waits = 1'b0;
    logic [32:0] proof_word = '0;
    logic [PE*(STATE+1)+2:0] proof_offered = '0;

    int proof_lane, proof_from;          // its lane, and its row in a step
    assign proof_lane = 32'(proof_class) / POSITIONS % PE;
    assign proof_from = 32'(proof_class) % POSITIONS * GROUPS + 32'(proof_class) / POSITIONS / PE;
    logic proof_take, proof_give, proof_spike;
    logic [STATE-1:0] proof_state;
    logic [63:0] proof_before, proof_after;
    assign proof_take = in_valid && in_ready;
    assign proof_give = m_axis_tvalid && m_axis_tready;
    assign proof_spike = in_spikes[proof_lane];
    assign proof_state = in_states[proof_lane*STATE+:STATE];
    assign proof_before = in_flags[0] ? '0 : proof_score;
    logic [63:0] proof_worth [STATES];
    if (MODE == 4) begin : g_proof_worth
        initial $readmemh(WORTH, proof_worth);
    end

    always_comb begin
        proof_after = proof_before;
        case (MODE)
            0: if (proof_spike) proof_after = proof_before + 1;
            1: if (proof_spike || proof_before > 0) proof_after = proof_before + 1;
            2: if (64'(proof_state) > proof_before) proof_after = 64'(proof_state);
            3: proof_after = 64'(proof_state);
            default: proof_after = proof_before + proof_worth[proof_state];
        endcase
    end

    always_ff @(posedge clk) begin
        proof_waits <= !rst && in_valid && !in_ready;
        proof_offered <= {in_last, in_flags, in_spikes, in_states};
        proof_word_waits <= !rst && m_axis_tvalid && !m_axis_tready;
        proof_word <= {m_axis_tlast, m_axis_tdata};
        if (rst) begin
            proof_begun <= 1'b0;
            proof_row <= '0;
            proof_packet <= 1'b0;
            proof_sent <= '0;
        end else begin
            if (proof_take) begin
                proof_begun <= 1'b1;
                proof_flags <= in_flags;
                proof_row <= in_last ? '0 : proof_row + 1'b1;
                if (32'(proof_row) == proof_from) proof_score <= proof_after;
                if (in_last && in_flags[1]) proof_packet <= 1'b1;
            end
            if (proof_give) begin
                proof_sent <= m_axis_tlast ? '0 : proof_sent + 1'b1;
                if (m_axis_tlast) proof_packet <= 1'b0;
            end
        end
    end

    localparam int PROOF_WORDS = MODE == 4 ? 2 : 1;  // of a class
    always_comb begin
        assume (32'(proof_class) < CLASSES);
        if (in_valid) begin
            assume (in_last == (32'(proof_row) == ROWS - 1));
            assume (proof_row == '0 ? proof_begun || in_flags[0] : in_flags == proof_flags);
            for (int lane = 0; lane < PE; lane++) assume (32'(in_states[lane*STATE+:STATE]) < STATES);
        end
        if (proof_waits) assume (in_valid && {in_last, in_flags, in_spikes, in_states} == proof_offered);
        if (MODE == 1) assume (proof_score < 64'hffffffff);

        one_packet: assert (m_axis_tvalid == proof_packet);
        rows_wait: assert (in_ready == !proof_packet);
        if (m_axis_tvalid) begin
            last_word: assert (m_axis_tlast == (32'(proof_sent) == CLASSES * PROOF_WORDS - 1));
            if (32'(proof_sent) / PROOF_WORDS == 32'(proof_class)) begin
                if (32'(proof_sent) % PROOF_WORDS == 0) score_sent: assert (m_axis_tdata == proof_score[31:0]);
                else high_sent: assert (m_axis_tdata == proof_score[63:32]);
            end
        end
        if (proof_word_waits) stays: assert (m_axis_tvalid && {m_axis_tlast, m_axis_tdata} == proof_word);
    end

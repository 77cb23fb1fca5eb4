
// ---- Properties, put before the end of squat_join.
// shows: in every step all events of the one leave, then all of the other, once, in order, moved and scaled; one end a step; a beat stays until it is taken
// case: INDEX_A=1 INDEX_B=1 FIRST_A=0 FIRST_B=2 VALUE_A=1 VALUE_B=2 SIGNED_B=1 FACTOR_A=3 FACTOR_B=1 INDEX=2 VALUE=4 cycles=9 induction=3 twins=8
    localparam int PROOF_BEAT = 2 + FLAGS + INDEX + VALUE;
    logic proof_second = 1'b0;                 // it is the turn of `b`
    logic proof_holds = 1'b0;
    logic [PROOF_BEAT-1:0] proof_beat = '0;
    logic proof_a, proof_b, proof_nothing;
    int proof_scaled_a, proof_scaled_b;
    assign proof_a = a_valid && a_ready;
    assign proof_b = b_valid && b_ready;
    assign proof_nothing = a_end && !a_keep;   // the end of `a` without an event: `b` says the end of the step
    assign proof_scaled_a = (SIGNED_A ? 32'($signed(a_value)) : 32'(a_value)) * FACTOR_A;
    assign proof_scaled_b = (SIGNED_B ? 32'($signed(b_value)) : 32'(b_value)) * FACTOR_B;
    always_ff @(posedge clk) begin
        if (rst) proof_second <= 1'b0;
        else if (proof_a && a_end) proof_second <= 1'b1;
        else if (proof_b && b_end) proof_second <= 1'b0;
        proof_holds <= !rst && ((proof_a && !proof_nothing) || proof_b || (proof_holds && !out_ready));
        if (proof_a) proof_beat <= {1'b0, a_flags, a_keep, INDEX'(32'(a_index) + FIRST_A), VALUE'(proof_scaled_a)};
        if (proof_b) proof_beat <= {b_end, b_flags, b_keep, INDEX'(32'(b_index) + FIRST_B), VALUE'(proof_scaled_b)};
    end
    always_comb begin
        turns: assert (!(a_ready && proof_second) && !(b_ready && !proof_second));
        moves: assert (a_ready || b_ready || (proof_holds && !out_ready));
        offers: assert (out_valid == proof_holds);
        turn_of: assert (turn == proof_second);
        if (proof_holds) same: assert ({out_end, out_flags, out_keep, out_index, out_value} == proof_beat);
    end

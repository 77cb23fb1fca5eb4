
// ---- Properties, put before the end of squat_first.
// shows: every window that is visited in a step leaves in it, once; one end a step, with its flags; a beat stays until it is taken
// case: WINDOWS=3 STAMP=2 cycles=13 twins=10
    (* anyconst *) logic [INDEX-1:0] proof_window;  // any window may be the one that is followed
    logic proof_visited = 1'b0;   // in the step that comes in, and in the one whose end has come
    logic proof_before = 1'b0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic proof_left = 1'b0;      // it has left in the step that goes out
    logic proof_waits = 1'b0;
    logic proof_in_waits = 1'b0;
    logic [INDEX+FLAGS+1:0] proof_offered = '0;
    logic [INDEX+FLAGS+1:0] proof_in_offered = '0;
    logic proof_take, proof_give, proof_visits, proof_leaves;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_visits = in_keep && in_index == proof_window;
    assign proof_leaves = out_keep && out_index == proof_window;
    always_ff @(posedge clk) begin
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_end, out_flags, out_keep, out_index};
        proof_in_waits <= !rst && in_valid && !in_ready;
        proof_in_offered <= {in_end, in_flags, in_keep, in_index};
        if (rst) begin
            proof_visited <= 1'b0;
            proof_left <= 1'b0;
        end else begin
            if (proof_take) proof_visited <= !in_end && (proof_visited || proof_visits);
            if (proof_take && in_end) proof_before <= proof_visited || proof_visits;
            if (proof_take && in_end) proof_flags <= in_flags;
            if (proof_give) proof_left <= !out_end && (proof_left || proof_leaves);
        end
    end
    always_comb begin
        assume (int'(proof_window) < WINDOWS);
        if (in_valid) assume (int'(in_index) < WINDOWS);
        if (proof_in_waits) assume (in_valid && {in_end, in_flags, in_keep, in_index} == proof_in_offered);
        if (out_valid && proof_leaves) once: assert (!proof_left);
        if (out_valid && out_end) begin
            all_left: assert ((proof_left || proof_leaves) == proof_before);
            flags_of: assert (out_flags == proof_flags);
        end
        if (proof_waits) stays: assert (out_valid && {out_end, out_flags, out_keep, out_index} == proof_offered);
    end


// ---- Properties, put before the end of squat_late.
// shows: a step gets the rows of the step before, once, in their order, with its own flags; where a sequence starts it gets one row of zeros, and what is left of before is dropped
// case: WIDTH=2 cycles=9 induction=2 twins=10
    logic proof_none = 1'b1;  // there was no step since the reset
    logic proof_starts;
    assign proof_starts = proof_none || tick_flags[0];
    always_ff @(posedge clk) begin
        if (rst) proof_none <= 1'b1;
        else if (tick_valid && tick_ready) proof_none <= 1'b0;
    end
    always_comb begin
        if (out_valid) begin
            asked: assert (tick_valid && out_flags == tick_flags);
            if (proof_starts) zeros: assert (out_last && out_fields == '0);
            else passed: assert (in_valid && out_last == in_last && out_fields == in_fields);
            if (proof_starts && !proof_none) dropped: assert (in_valid && in_last);
        end
        ends: assert (tick_ready == (out_valid && out_ready && out_last));
        if (in_valid && in_ready) taken: assert ((out_valid && out_ready) || (proof_starts && !in_last));
        if (tick_valid && in_valid && out_ready && !proof_none) moves: assert (in_ready);
        meaning: assert (none == proof_none);
    end

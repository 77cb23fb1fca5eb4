
// ---- Properties, put before the end of squat_repeat.
// shows: every step of a sequence has the beats of its first, all of them, in their order, and its own flags; beats are taken once
// case: WIDTH=2 DEPTH=2 cycles=10 twins=10
    (* anyconst *) logic [AT-1:0] proof_at;    // any beat may be the one that is followed
    logic [WIDTH-1:0] proof_data = '0;
    logic proof_begun = 1'b0;
    logic [AT:0] proof_came = '0;              // beats of the step so far
    logic [AT:0] proof_length = '0;            // of the first step
    logic proof_waits = 1'b0;
    logic [WIDTH+FLAGS:0] proof_offered = '0;
    logic [FLAGS-1:0] proof_flags = '0;        // of the step
    logic proof_give;
    assign proof_give = out_valid && out_ready;
    always_ff @(posedge clk) begin
        proof_waits <= !rst && in_valid && !in_ready;
        proof_offered <= {in_last, in_flags, in_data};
        if (rst) begin
            proof_begun <= 1'b0;
            proof_came <= '0;
        end else if (proof_give) begin
            proof_begun <= 1'b1;
            proof_flags <= in_flags;
            proof_came <= out_last ? '0 : proof_came + 1'b1;
            if (in_flags[0]) proof_length <= proof_came;
            if (in_flags[0] && proof_came == (AT + 1)'(proof_at)) proof_data <= in_data;
        end
    end
    always_comb begin
        if (proof_waits) assume (in_valid && {in_last, in_flags, in_data} == proof_offered);
        if (in_valid) begin
            assume (proof_begun || in_flags[0]);
            assume (proof_came == '0 || in_flags == proof_flags);
            assume (in_flags[0] ? in_last || int'(proof_came) < DEPTH - 1 : in_last);
        end
        offers: assert (out_valid == in_valid);
        taken: assert (in_ready == (out_ready && (in_flags[0] || out_last)));
        if (out_valid) begin
            flags_of: assert (out_flags == in_flags);
            end_of: assert (out_last == (in_flags[0] ? in_last : proof_came == proof_length));
            if (in_flags[0]) passed: assert (out_data == in_data);
            else if (proof_came == (AT + 1)'(proof_at)) again: assert (out_data == proof_data);
        end
    end

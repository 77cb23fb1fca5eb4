
// ---- Properties, put before the end of squat_delay.
// shows: a number is what it was so many steps ago as the table says, or 0 from before the sequence; every step has all rows once, in order, with its flags; a row stays until it is taken
// case: FIELDS=1 VALUE=2 WORDS=2 DEPTH=3 STEPS=steps.hex cycles=11 twins=10
// case: FIELDS=2 VALUE=1 WORDS=1 DEPTH=2 EACH=1 STEPS=each.hex cycles=9 twins=9
// memory steps.hex: 2 1
// memory each.hex: 1
    (* anyconst *) logic [WORD-1:0] proof_row;    // any row may be the one that is followed, its first part
    logic [STEP-1:0] proof_back;
    assign proof_back = steps[proof_row][STEP-1:0];
    logic [WIDTH-1:0] proof_past [DEPTH];         // of the steps before, the last one first
    logic [STEP-1:0] proof_age = '0;
    logic [WORD:0] proof_came = '0;               // rows of the step that came in, and that left
    logic [WORD:0] proof_left = '0;
    logic proof_begun = 1'b0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic [WIDTH-1:0] proof_now = '0;             // of the step that comes in, and what it should leave as
    logic [WIDTH-1:0] proof_want = '0;
    logic proof_in_waits = 1'b0;
    logic proof_waits = 1'b0;
    logic [FIELDS*VALUE+FLAGS:0] proof_in_offered = '0;
    logic [FIELDS*VALUE+FLAGS:0] proof_offered = '0;
    logic proof_take, proof_give, proof_starts;
    logic [WIDTH-1:0] proof_fresh;                // that the row has in this step, known when it ends
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_starts = in_flags[0];
    assign proof_fresh = proof_came == (WORD + 1)'(proof_row) ? in_fields[WIDTH-1:0] : proof_now;
    always_ff @(posedge clk) begin
        proof_in_waits <= !rst && in_valid && !in_ready;
        proof_in_offered <= {in_last, in_flags, in_fields};
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_last, out_flags, out_fields};
        if (rst) begin
            proof_came <= '0;
            proof_left <= '0;
            proof_begun <= 1'b0;
        end else begin
            if (proof_take) begin
                proof_begun <= 1'b1;
                proof_flags <= in_flags;
                proof_came <= in_last ? '0 : proof_came + 1'b1;
                proof_now <= in_last ? '0 : proof_fresh;
                if (in_last) begin
                    proof_want <= proof_back == '0 ? proof_fresh
                        : proof_back > (proof_starts ? '0 : proof_age) ? '0 : proof_past[proof_back - 1'b1];
                    proof_past[0] <= proof_fresh;
                    for (int i = 1; i < DEPTH; i++) proof_past[i] <= proof_past[i-1];
                    proof_age <= proof_starts ? STEP'(1) : int'(proof_age) == DEPTH ? proof_age : proof_age + 1'b1;
                end
            end
            if (proof_give) proof_left <= out_last ? '0 : proof_left + 1'b1;
        end
    end
    always_comb begin
        assume (int'(proof_row) < WORDS);
        if (proof_in_waits) assume (in_valid && {in_last, in_flags, in_fields} == proof_in_offered);
        if (in_valid) begin
            assume (proof_begun || in_flags[0]);
            assume (proof_came == '0 || in_flags == proof_flags);
            assume (in_last || int'(proof_came) < WORDS - 1);
        end
        if (out_valid) begin
            end_of: assert (out_last == (int'(proof_left) == WORDS - 1));
            flags_of: assert (out_flags == proof_flags);
            // A row that leaves after its step has come in whole: what it is, is known.
            if (proof_came == '0 && proof_left == (WORD + 1)'(proof_row)) was: assert (out_fields[WIDTH-1:0] == proof_want);
        end
        if (proof_waits) stays: assert (out_valid && {out_last, out_flags, out_fields} == proof_offered);
    end

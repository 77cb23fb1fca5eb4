
// ---- Properties, put before the end of squat_reader.
// shows: every word that comes in leaves once, in its step; a call has its steps, each with its words and one end, the start and the end of a call are marked; without a frame a step is one empty word; a word stays until it is taken
// case: WORDS=2 BITS=4 ONCE=0 cycles=12 twins=12
// case: WORDS=2 BITS=4 ONCE=1 cycles=12
    logic proof_called = 1'b0;             // there was a call since the reset
    logic proof_runs = 1'b0;
    logic proof_restart = 1'b0;            // the call starts a sequence
    logic [1:0] proof_steps = '0;          // of the call, and how many have ended
    logic [1:0] proof_ended = '0;
    logic [WORD:0] proof_word = '0;        // words of the step
    logic proof_waits = 1'b0;              // a word was offered, at either end
    logic proof_comes = 1'b0;
    logic [BITS+2:0] proof_offered = '0;
    logic [31:0] proof_data = '0;
    logic proof_frame, proof_take, proof_give, proof_last;
    assign proof_frame = !ONCE || (proof_restart && proof_ended == '0);
    assign proof_take = s_axis_tvalid && s_axis_tready;
    assign proof_give = out_valid && out_ready;
    assign proof_last = !proof_frame || int'(proof_word) == WORDS - 1;

    always_ff @(posedge clk) begin
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_last, out_flags, out_fields};
        proof_comes <= s_axis_tvalid && !s_axis_tready;
        proof_data <= s_axis_tdata;
        if (rst) begin
            proof_called <= 1'b0;
            proof_runs <= 1'b0;
        end else if (start) begin
            proof_called <= 1'b1;
            proof_runs <= 1'b1;
            proof_restart <= restart;
            proof_steps <= steps[1:0];
            proof_ended <= '0;
            proof_word <= '0;
        end else if (proof_give) begin
            proof_word <= proof_last ? '0 : proof_word + 1'b1;
            if (proof_last) proof_ended <= proof_ended + 1'b1;
            if (proof_last && proof_ended == proof_steps - 1'b1) proof_runs <= 1'b0;
        end
    end

    always_comb begin
        assume (!start || (idle && steps > 0 && steps < 4 && (restart || proof_called)));
        if (proof_comes) assume (s_axis_tvalid && s_axis_tdata == proof_data);

        busy: assert (idle == !proof_runs);
        offers: assert (out_valid == (proof_runs && (!proof_frame || s_axis_tvalid)));
        together: assert (proof_take == (proof_give && proof_frame));
        if (out_valid) begin
            word_of: assert (out_fields == (proof_frame ? s_axis_tdata[BITS-1:0] : '0));
            end_of_step: assert (out_last == proof_last);
            start_marked: assert (out_flags[0] == (proof_restart && proof_ended == '0));
            end_marked: assert (out_flags[1] == (proof_ended == proof_steps - 1'b1));
        end
        if (proof_waits) stays: assert (out_valid && {out_last, out_flags, out_fields} == proof_offered);
    end

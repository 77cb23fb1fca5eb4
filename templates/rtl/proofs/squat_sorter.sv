
// ---- Properties, put before the end of squat_sorter.
// shows: every event is given once, by its bank, under what is left of its index, in its order; one end a step, behind its events, with its flags
// case: SIMD=2 VALUE=2 INDEX_IN=2 INDEX=1 DEPTH=2 cycles=7 twins=6
    (* anyconst *) logic proof_bank;     // any bank may be the one that is followed
    (* anyseq *) logic proof_mark;       // and any event of it, with its step
    logic proof_marked = 1'b0;
    logic proof_followed = 1'b0;
    logic [3:0] proof_left = '0;         // events of the bank that came and were not given, and ends
    logic [3:0] proof_steps = '0;
    logic [3:0] proof_ahead = '0;        // before what is followed
    logic [3:0] proof_ends = '0;
    logic [INDEX-1:0] proof_index = '0;
    logic [VALUE-1:0] proof_value = '0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic proof_begun = 1'b0;
    logic [FLAGS-1:0] proof_given = '0;
    logic proof_take, proof_give, proof_mine, proof_listed, proof_ended;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_mine = proof_take && in_keep && in_index[0] == proof_bank;
    assign proof_listed = proof_give && out_keep[proof_bank];
    assign proof_ended = proof_give && out_end;

    always_ff @(posedge clk) begin
        if (rst) begin
            proof_marked <= 1'b0;
            proof_followed <= 1'b0;
            proof_left <= '0;
            proof_steps <= '0;
            proof_begun <= 1'b0;
        end else begin
            if (proof_take) proof_begun <= !in_end;
            if (proof_take) proof_given <= in_flags;
            proof_left <= proof_left + 4'(proof_mine) - 4'(proof_listed);
            proof_steps <= proof_steps + 4'(proof_take && in_end) - 4'(proof_ended);
            if (proof_marked) begin
                proof_marked <= !proof_listed || proof_ahead != '0;
                proof_ahead <= proof_ahead - 4'(proof_listed);
            end else if (proof_mine && proof_mark && !proof_followed) begin
                proof_marked <= 1'b1;
                proof_ahead <= proof_left - 4'(proof_listed);
                proof_index <= in_index[INDEX_IN-1:1];
                proof_value <= in_value;
            end
            if (proof_followed) begin
                proof_followed <= !proof_ended || proof_ends != '0;
                proof_ends <= proof_ends - 4'(proof_ended);
            end else if (proof_take && proof_mark) begin
                proof_followed <= 1'b1;
                proof_ends <= proof_steps - 4'(proof_ended);
                proof_flags <= in_flags;
            end
        end
    end

    always_comb begin
        if (in_valid && proof_begun) assume (in_flags == proof_given);
        if (in_valid && in_keep) assume (in_value != '0);
        if (in_valid) assume (in_keep || in_end);
        if (out_valid && out_keep[proof_bank]) none_twice: assert (proof_left != '0);
        if (out_valid && out_end) owed: assert (proof_steps != '0);
        if (out_valid && proof_marked && out_keep[proof_bank] && proof_ahead == '0) begin
            index_of: assert (out_index[proof_bank*INDEX+:INDEX] == proof_index);
            number_of: assert (out_value[proof_bank*VALUE+:VALUE] == proof_value);
            step_of: assert (proof_followed && proof_ends == '0);
        end
        if (out_valid && proof_marked && out_end && proof_ends == '0) begin
            none_left: assert (out_keep[proof_bank] && proof_ahead == '0);
        end
        if (out_valid && out_end && proof_followed && proof_ends == '0) flags_of_step: assert (out_flags == proof_flags);
    end

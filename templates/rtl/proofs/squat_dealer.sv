
// ---- Properties, put before the end of squat_dealer.
// shows: every number that is not zero is listed once, in its bank, under its index, lowest first; no bank goes into the next step before all have ended this one; one end a step, with its flags; a beat stays until it is taken; whoever waits waits for the other side alone
// case: FIELDS=4 VALUE=1 SIMD=2 INDEX=2 DEPTH=2 cycles=7 twins=7
// case: FIELDS=2 VALUE=2 SIMD=2 INDEX=1 DEPTH=2 cycles=8
// case: FIELDS=4 VALUE=1 SIMD=2 INDEX=1 DEPTH=0 cycles=8 twins=7
    (* anyconst *) logic [7:0] proof_field;  // any field may be the one that is followed
    (* anyseq *) logic proof_mark;           // of any word
    logic proof_marked = 1'b0;               // a number of the field waits, and so many events of its bank before it
    logic proof_followed = 1'b0;             // the end of its step does, and so many ends before it
    logic [3:0] proof_ahead = '0;
    logic [3:0] proof_ends = '0;
    logic [INDEX-1:0] proof_index = '0;
    logic [VALUE-1:0] proof_value = '0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic [INDEX-1:0] proof_base = '0;       // of the next word
    logic [3:0] proof_left = '0;             // events of the bank that came and were not listed
    logic [3:0] proof_steps = '0;            // ends that came and were not told
    logic proof_begun = 1'b0;                // a word of this step has come, with these flags
    logic [FLAGS-1:0] proof_given = '0;
    logic proof_waits = 1'b0;
    logic [SIMD*(INDEX+VALUE+1)+FLAGS:0] proof_offered = '0;
    logic [2:0] proof_still = '0;            // cycles in which something is inside and nothing is offered
    logic [2:0] proof_shut = '0;             // cycles in which nothing is offered and no word can come
    logic proof_take, proof_give, proof_listed, proof_ended;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_ended = proof_give && out_end;

    logic [SLOTS*VALUE-1:0] proof_fields;    // of the bank
    logic [VALUE-1:0] proof_number;
    logic [3:0] proof_all, proof_before;     // events of the bank in a word, and those before the field
    logic proof_keep;
    logic [INDEX-1:0] proof_slot, proof_out_index;
    logic [VALUE-1:0] proof_out_value;
    always_comb begin
        proof_all = '0;
        proof_before = '0;
        proof_number = '0;
        proof_slot = '0;
        proof_keep = 1'b0;
        proof_out_index = '0;
        proof_out_value = '0;
        for (int f = 0; f < FIELDS; f++) begin
            if (f % SIMD == int'(proof_field) % SIMD && in_fields[f*VALUE+:VALUE] != '0) begin
                proof_all = proof_all + 4'd1;
                if (f < int'(proof_field)) proof_before = proof_before + 4'd1;
            end
            if (f == int'(proof_field)) begin
                proof_number = in_fields[f*VALUE+:VALUE];
                proof_slot = INDEX'(f / SIMD);
                proof_keep = out_keep[f%SIMD];
                proof_out_index = out_index[(f%SIMD)*INDEX+:INDEX];
                proof_out_value = out_value[(f%SIMD)*VALUE+:VALUE];
            end
        end
    end
    assign proof_listed = proof_give && proof_keep;

    always_ff @(posedge clk) begin
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_end, out_flags, out_keep, out_index, out_value};
        if (rst) begin
            proof_marked <= 1'b0;
            proof_followed <= 1'b0;
            proof_base <= '0;
            proof_left <= '0;
            proof_steps <= '0;
            proof_begun <= 1'b0;
            proof_still <= '0;
            proof_shut <= '0;
        end else begin
            if (proof_take) begin
                proof_base <= in_last ? '0 : proof_base + INDEX'(SLOTS);
                proof_begun <= !in_last;
                proof_given <= in_flags;
            end
            proof_left <= proof_left + (proof_take ? proof_all : 4'd0) - 4'(proof_listed);
            proof_steps <= proof_steps + 4'(proof_take && in_last) - 4'(proof_ended);
            if (proof_marked) begin
                proof_marked <= !proof_listed || proof_ahead != '0;
                proof_ahead <= proof_ahead - 4'(proof_listed);
            end else if (proof_take && proof_mark && !proof_followed && proof_number != '0) begin
                proof_marked <= 1'b1;
                proof_ahead <= proof_left + proof_before - 4'(proof_listed);
                proof_index <= proof_base + proof_slot;
                proof_value <= proof_number;
            end
            if (proof_followed) begin
                proof_followed <= !proof_ended || proof_ends != '0;
                proof_ends <= proof_ends - 4'(proof_ended);
            end else if (proof_take && proof_mark) begin
                proof_followed <= 1'b1;
                proof_ends <= proof_steps - 4'(proof_ended);
                proof_flags <= in_flags;
            end
            proof_still <= (proof_left != '0 || proof_steps != '0) && !out_valid ? proof_still + 3'd1 : '0;
            proof_shut <= !in_ready && !out_valid ? proof_shut + 3'd1 : '0;
        end
    end

    always_comb begin
        assume (int'(proof_field) < FIELDS);
        if (in_valid && proof_begun) assume (in_flags == proof_given);
        if (DEPTH == 0 && in_valid) assume (in_last);
        if (in_valid) assume (int'(proof_base) + SLOTS <= 1 << INDEX);
        if (out_valid) something: assert (out_end || out_keep != '0);
        if (out_valid && proof_keep) none_twice: assert (proof_left != '0);
        if (out_valid && out_end) owed: assert (proof_steps != '0);
        if (out_valid && proof_marked && proof_keep && proof_ahead == '0) begin
            index_of: assert (proof_out_index == proof_index);
            number_of: assert (proof_out_value == proof_value);
        end
        if (out_valid && proof_marked) begin  // a number of the step that is followed
            if (proof_keep && proof_ahead == '0) step_of: assert (proof_followed && proof_ends == '0);
            if (out_end && proof_ends == '0) none_left: assert (proof_keep && proof_ahead == '0);
        end
        if (out_valid && out_end && proof_followed && proof_ends == '0) flags_of_step: assert (out_flags == proof_flags);
        moves: assert (proof_still <= 3'd3);
        opens: assert (proof_shut <= 3'd3);
        if (proof_waits) begin
            stays: assert (out_valid && {out_end, out_flags, out_keep, out_index, out_value} == proof_offered);
        end
    end


// ---- Properties, put before the end of squat_lister.
// shows: every number that is not zero is listed once, under its index, lowest first in every bank; one end a step, with its flags; a beat stays until it is taken; whoever waits waits for the other side alone
// case: FIELDS=4 VALUE=1 SIMD=2 INDEX=3 cycles=10 induction=3 twins=10
// case: FIELDS=3 VALUE=2 SIMD=1 INDEX=4 cycles=10 induction=3 twins=10
    logic proof_next_one = 1'b0;            // a word waits, and what it has
    logic [FIELDS-1:0] proof_found = '0;
    logic [FIELDS*VALUE-1:0] proof_waiting = '0;
    logic proof_last = 1'b0;
    logic [FLAGS-1:0] proof_own = '0;
    logic [FIELDS-1:0] proof_left = '0;     // fields of the word before that are still to be listed
    logic proof_owes = 1'b0;                // it ends a step, and no beat has said so
    logic [FIELDS*VALUE-1:0] proof_fields = '0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic [INDEX-1:0] proof_word = '0;      // words of the step before it, and before the next one
    logic [INDEX-1:0] proof_next = '0;
    logic [FIELDS-1:0] proof_picked, proof_after;
    logic [SIMD-1:0] proof_keeps, proof_indexes, proof_numbers;  // whether a bank says what it should
    logic proof_take, proof_give, proof_moves;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_moves = proof_next_one && proof_after == '0 && (!proof_owes || (proof_give && out_end));

    for (genvar b = 0; b < SIMD; b++) begin : g_proof
        logic any;
        logic [INDEX-1:0] index;
        logic [VALUE-1:0] number;
        logic [SLOTS-1:0] picked;
        always_comb begin
            any = 1'b0;
            index = '0;
            number = '0;
            picked = '0;
            for (int s = SLOTS - 1; s >= 0; s--) begin
                if (proof_left[s*SIMD+b]) begin
                    any = 1'b1;
                    index = proof_word * INDEX'(SLOTS) + INDEX'(s);
                    number = proof_fields[(s*SIMD+b)*VALUE+:VALUE];
                    picked = SLOTS'(1) << s;
                end
            end
        end
        assign proof_keeps[b] = out_keep[b] == any;
        assign proof_indexes[b] = !any || out_index[b*INDEX+:INDEX] == index;
        assign proof_numbers[b] = !any || out_value[b*VALUE+:VALUE] == number;
        for (genvar s = 0; s < SLOTS; s++) begin : g_slot
            assign proof_picked[s*SIMD+b] = picked[s];
        end
    end
    assign proof_after = proof_give ? proof_left & ~proof_picked : proof_left;

    logic [FIELDS-1:0] proof_known;         // fields of the word that are not zero
    for (genvar f = 0; f < FIELDS; f++) begin : g_proof_known
        assign proof_known[f] = proof_fields[f*VALUE+:VALUE] != '0;
    end
    if (VALUE > 1) begin : g_proof_numbers
        always_comb if (out_valid) word: assert (g_numbers.fields == proof_fields);
    end

    logic proof_waits = 1'b0;
    logic [SIMD*(INDEX+VALUE+1)+FLAGS:0] proof_offered = '0;
    always_ff @(posedge clk) begin
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_end, out_flags, out_keep, out_index, out_value};
        if (proof_take) begin
            for (int f = 0; f < FIELDS; f++) proof_found[f] <= in_fields[f*VALUE+:VALUE] != '0;
            proof_waiting <= in_fields;
            proof_last <= in_last;
            proof_own <= in_flags;
        end
        if (rst) begin
            proof_next_one <= 1'b0;
            proof_left <= '0;
            proof_owes <= 1'b0;
            proof_next <= '0;
        end else begin
            proof_next_one <= proof_take || (proof_next_one && !proof_moves);
            if (proof_moves) begin
                proof_left <= proof_found;
                proof_owes <= proof_last;
                proof_fields <= proof_waiting;
                proof_flags <= proof_own;
                proof_word <= proof_next;
                proof_next <= proof_last ? '0 : proof_next + 1'b1;
            end else begin
                proof_left <= proof_after;
                if (proof_give && out_end) proof_owes <= 1'b0;
            end
        end
    end

    always_comb begin
        something: assert (out_valid == (proof_left != '0 || proof_owes));
        if (out_valid) begin
            all_listed: assert (&proof_keeps);
            index_of: assert (&proof_indexes);
            number_of: assert (&proof_numbers);
        end
        if (out_valid) end_of_step: assert (out_end == (proof_owes && (proof_left & ~proof_picked) == '0));
        if (out_valid) flags_of_step: assert (out_flags == proof_flags);
        in_time: assert (in_ready == (!proof_next_one || proof_moves));
        if (proof_waits) begin
            stays: assert (out_valid && {out_end, out_flags, out_keep, out_index, out_value} == proof_offered);
        end
        // What the registers mean, for induction.
        if (out_valid) meaning: assert ((now | rest) == proof_left && rest == (proof_left & ~proof_picked) && last == proof_owes);
        if (out_valid) apart: assert ((now & rest) == '0 && (proof_left & ~proof_known) == '0);
        if (out_valid) rests: assert ((more != '0) == (rest != '0));
        if (out_valid) counting: assert (base == proof_word * INDEX'(SLOTS));
        waiting_one: assert (waits == proof_next_one);
        if (waits) waiting_word: assert (waiting == proof_waiting && waiting_last == proof_last);
        if (waits) waiting_found: assert (found == proof_found && waiting_flags == proof_own);
        next_word: assert (next_base == proof_next * INDEX'(SLOTS));
    end

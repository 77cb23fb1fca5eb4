
// ---- Properties, put before the end of squat_lister.
// shows: every number that is not zero is listed once, under its index, lowest first in every bank; one end a step, with its flags; a beat stays until it is taken; whoever waits waits for the other side alone
// case: FIELDS=4 VALUE=1 SIMD=2 INDEX=3 cycles=10 induction=3 twins=10
// case: FIELDS=3 VALUE=2 SIMD=1 INDEX=4 cycles=10 induction=3 twins=10
    logic [FIELDS-1:0] proof_left = '0;     // fields of the word that are still to be listed
    logic proof_owes = 1'b0;                // it ends a step, and no beat has said so
    logic [FIELDS*VALUE-1:0] proof_fields = '0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic [INDEX-1:0] proof_word = '0;      // words of the step before it, and before the next one
    logic [INDEX-1:0] proof_next = '0;
    logic [FIELDS-1:0] proof_picked, proof_after;
    logic [SIMD-1:0] proof_keeps, proof_indexes, proof_numbers;  // whether a bank says what it should
    logic proof_take, proof_give;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;

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

    logic proof_waits = 1'b0;
    logic [SIMD*(INDEX+VALUE+1)+FLAGS:0] proof_offered = '0;
    always_ff @(posedge clk) begin
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_end, out_flags, out_keep, out_index, out_value};
        if (rst) begin
            proof_left <= '0;
            proof_owes <= 1'b0;
            proof_next <= '0;
        end else if (proof_take) begin
            for (int f = 0; f < FIELDS; f++) proof_left[f] <= in_fields[f*VALUE+:VALUE] != '0;
            proof_owes <= in_last;
            proof_fields <= in_fields;
            proof_flags <= in_flags;
            proof_word <= proof_next;
            proof_next <= in_last ? '0 : proof_next + 1'b1;
        end else begin
            proof_left <= proof_after;
            if (proof_give && out_end) proof_owes <= 1'b0;
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
        if (proof_take) nothing_lost: assert (proof_after == '0 && (!proof_owes || (proof_give && out_end)));
        moves: assert (out_valid || in_ready);
        if (proof_give && proof_after == '0) in_time: assert (in_ready);
        if (proof_waits) begin
            stays: assert (out_valid && {out_end, out_flags, out_keep, out_index, out_value} == proof_offered);
        end
        // What the registers mean, for induction.
        if (out_valid) meaning: assert (left == proof_left && fields == proof_fields && last == proof_owes);
        if (loaded) counting: assert (base == proof_word * INDEX'(SLOTS));
        if (loaded && !out_valid) done: assert (left == '0 && !last);
        next_word: assert (next_base == proof_next * INDEX'(SLOTS));
    end

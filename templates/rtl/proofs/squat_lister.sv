
// ---- Properties, put before the end of squat_lister.
// shows: every number that is not zero is listed once, under its index, lowest first; one end a step, with its flags; a beat stays until it is taken; whoever waits waits for the other side alone
// case: FIELDS=2 VALUE=1 INDEX=5 GROUPS=2 STEP=8 WIDTH=3 DOWN=2 cycles=12 twins=10
// case: FIELDS=4 VALUE=1 INDEX=3 cycles=10 induction=3 twins=10
// case: FIELDS=3 VALUE=2 INDEX=4 cycles=10 induction=3 twins=10
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
    logic proof_any;                        // what a beat should say
    logic [INDEX-1:0] proof_index;
    logic [VALUE-1:0] proof_number;
    logic proof_take, proof_give, proof_moves;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_moves = proof_next_one && proof_after == '0 && (!proof_owes || (proof_give && out_end));

    // The index of the first field of a word: of a plane, those of its position and of its group of channels.
    function automatic logic [INDEX-1:0] proof_first(input logic [INDEX-1:0] word);
        int group, position;
        group = GROUPS == 0 ? int'(word) : int'(word) % (GROUPS == 0 ? 1 : GROUPS);
        position = GROUPS == 0 ? 0 : int'(word) / (GROUPS == 0 ? 1 : GROUPS);
        proof_first = INDEX'(group * FIELDS * STEP + position / WIDTH * (DOWN + WIDTH - 1) + position % WIDTH);
    endfunction

    always_comb begin
        proof_any = 1'b0;
        proof_index = '0;
        proof_number = '0;
        proof_picked = '0;
        for (int f = FIELDS - 1; f >= 0; f--) begin
            if (proof_left[f]) begin
                proof_any = 1'b1;
                proof_index = proof_first(proof_word) + INDEX'(f * STEP);
                proof_number = proof_fields[f*VALUE+:VALUE];
                proof_picked = FIELDS'(1) << f;
            end
        end
    end
    assign proof_after = proof_give ? proof_left & ~proof_picked : proof_left;

    logic proof_waits = 1'b0;
    logic [INDEX+VALUE+FLAGS+1:0] proof_offered = '0;
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

    logic [FIELDS-1:0] proof_known;         // fields of the word that are not zero
    for (genvar f = 0; f < FIELDS; f++) begin : g_proof_known
        assign proof_known[f] = proof_fields[f*VALUE+:VALUE] != '0;
    end
    if (VALUE > 1) begin : g_proof_numbers
        always_comb if (out_valid) word: assert (g_numbers.fields == proof_fields);
    end

    always_comb begin
        something: assert (out_valid == (proof_left != '0 || proof_owes));
        if (out_valid) begin
            all_listed: assert (out_keep == proof_any);
            if (proof_any) index_of: assert (out_index == proof_index);
            if (proof_any) number_of: assert (out_value == proof_number);
        end
        if (out_valid) end_of_step: assert (out_end == (proof_owes && (proof_left & ~proof_picked) == '0));
        if (out_valid) flags_of_step: assert (out_flags == proof_flags);
        in_time: assert (in_ready == (!proof_next_one || proof_moves));
        if (proof_waits) begin
            stays: assert (out_valid && {out_end, out_flags, out_keep, out_index, out_value} == proof_offered);
        end
        // What the registers mean, for induction.
        if (out_valid) meaning: assert ((now | rest) == proof_left && rest == (proof_left & ~proof_picked) && last == proof_owes);
        if (out_valid) apart: assert ((now & rest) == '0 && (proof_left & ~proof_known) == '0 && more == (rest != '0));
        if (out_valid) counting: assert (base == proof_first(proof_word));
        waiting_one: assert (waits == proof_next_one);
        if (waits) waiting_word: assert (waiting == proof_waiting && waiting_last == proof_last && waiting_flags == proof_own);
        if (waits) waiting_found: assert (found == proof_found && waiting_any == (found != '0));
        if (waits) waiting_more: assert (waiting_two == ((found & (found - 1'b1)) != '0));
        next_word: assert (next_base == proof_first(proof_next));
    end

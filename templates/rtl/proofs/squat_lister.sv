
// ---- Properties, put before the end of squat_lister.
// shows: every number that is not zero is listed once, under its index, lowest first; one end a step, with its flags; a beat stays until it is taken; whoever waits waits for the other side alone
// case: FIELDS=4 VALUE=1 INDEX=3 cycles=10 induction=3 twins=10
// case: FIELDS=3 VALUE=2 INDEX=4 cycles=10 induction=3 twins=10
    logic [FIELDS-1:0] proof_left = '0;     // fields of the word that are still to be listed
    logic proof_owes = 1'b0;                // it ends a step, and no beat has said so
    logic [FIELDS*VALUE-1:0] proof_fields = '0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic [INDEX-1:0] proof_word = '0;      // words of the step before it, and before the next one
    logic [INDEX-1:0] proof_next = '0;
    logic [FIELDS-1:0] proof_picked, proof_after;
    logic proof_any;                        // what a beat should say
    logic [INDEX-1:0] proof_index;
    logic [VALUE-1:0] proof_number;
    logic proof_take, proof_give;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;

    always_comb begin
        proof_any = 1'b0;
        proof_index = '0;
        proof_number = '0;
        proof_picked = '0;
        for (int f = FIELDS - 1; f >= 0; f--) begin
            if (proof_left[f]) begin
                proof_any = 1'b1;
                proof_index = proof_word * INDEX'(FIELDS) + INDEX'(f);
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
            all_listed: assert (out_keep == proof_any);
            if (proof_any) index_of: assert (out_index == proof_index);
            if (proof_any) number_of: assert (out_value == proof_number);
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
        if (loaded) counting: assert (base == proof_word * INDEX'(FIELDS));
        if (loaded && !out_valid) done: assert (left == '0 && !last);
        next_word: assert (next_base == proof_next * INDEX'(FIELDS));
    end

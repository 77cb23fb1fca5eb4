
// ---- Properties, put before the end of squat_latency.
// shows: a number spikes in the step that the table says, and in no other, 0 never; every row leaves once, in order, with its flags; a row stays until it is taken; nobody waits but for the other side
// case: FIELDS=2 BITS=2 STEP=2 TIMES=times.hex cycles=10 induction=3 twins=8
// memory times.hex: 2 1 0 0
    logic [STEP-1:0] proof_times [1 << BITS];
    initial $readmemh(TIMES, proof_times);
    logic proof_begun = 1'b0;            // a sequence has begun since the reset
    logic proof_inside = 1'b0;           // a step has begun and not ended
    logic [FLAGS-1:0] proof_flags = '0;  // its flags
    logic [STEP:0] proof_step = '0;      // of the sequence, as far as any spikes
    logic [STEP:0] proof_now;
    logic proof_holds = 1'b0;
    logic [FIELDS+FLAGS:0] proof_row = '0;
    logic [FIELDS-1:0] proof_spikes;
    assign proof_now = in_flags[0] ? '0 : proof_step;
    for (genvar f = 0; f < FIELDS; f++) begin : g_proof
        assign proof_spikes[f] = in_fields[f*BITS+:BITS] != '0 && {1'b0, proof_times[in_fields[f*BITS+:BITS]]} == proof_now;
    end
    always_ff @(posedge clk) begin
        proof_holds <= !rst && ((in_valid && in_ready) || (proof_holds && !out_ready));
        if (rst) begin
            proof_begun <= 1'b0;
            proof_inside <= 1'b0;
        end else if (in_valid && in_ready) begin
            proof_begun <= 1'b1;
            proof_inside <= !in_last;
            proof_flags <= in_flags;
            if (in_last && !proof_now[STEP]) proof_step <= proof_now + 1'b1;
            proof_row <= {in_last, in_flags, proof_spikes};
        end
    end
    always_comb begin
        if (in_valid) begin
            assume (proof_begun || in_flags[0]);
            assume (!proof_inside || in_flags == proof_flags);
        end
        offers: assert (out_valid == proof_holds);
        moves: assert (in_ready == (!proof_holds || out_ready));
        if (proof_holds) spikes_of: assert ({out_last, out_flags, out_fields} == proof_row);
        // What the counter means, for induction: it stops where no step is.
        if (proof_begun && !(proof_inside && proof_flags[0])) counted: assert (step == (proof_step < (1 << STEP) ? proof_step[STEP-1:0] : '1));
    end

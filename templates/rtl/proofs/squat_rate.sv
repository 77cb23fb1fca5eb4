
// ---- Properties, put before the end of squat_rate.
// shows: a number spikes where it is more than the random one that the encoder says for its place in the sequence; every row leaves once, in order, with its flags; a row stays until it is taken; nobody waits but for the other side
// case: FIELDS=2 BITS=3 REST=1 SEED=5 cycles=10 twins=8
// memory numbers.hex: 7 6 6 6 6 6 6 4 2 4 6 4 7 4 3 1 5 7 3 1 5 1 4 6
    localparam int PROOF_NUMBERS = 24;
    logic [BITS-1:0] proof_numbers [PROOF_NUMBERS];  // `RateEncoder.thresholds` of this seed
    initial $readmemh("numbers.hex", proof_numbers);
    logic proof_begun = 1'b0;            // a sequence has begun since the reset
    logic proof_inside = 1'b0;           // a step has begun and not ended
    logic [FLAGS-1:0] proof_flags = '0;  // its flags
    logic [4:0] proof_at = '0;           // numbers of the sequence that have come
    logic [4:0] proof_from;
    logic proof_holds = 1'b0;
    logic [FIELDS+FLAGS:0] proof_row = '0;
    logic [FIELDS-1:0] proof_spikes;
    assign proof_from = in_flags[0] && !proof_inside ? '0 : proof_at;
    for (genvar f = 0; f < FIELDS; f++) begin : g_proof
        assign proof_spikes[f] = in_fields[f*BITS+:BITS] > proof_numbers[proof_from+5'(f)] && (!in_last || f < REST);
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
            proof_at <= proof_from + (in_last ? 5'(REST) : 5'(FIELDS));
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
    end

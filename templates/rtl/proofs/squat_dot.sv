
// ---- Properties, put before the end of squat_dot.
// shows: the total of a beat is the sum of the weights that are kept, each times its number, after the stated latency
// case: WEIGHT=2 SIMD=1 SUM=4 cycles=4
// case: WEIGHT=1 BIPOLAR=1 SIMD=3 SUM=4 LATENCY=2 cycles=5
// case: WEIGHT=3 SIMD=2 VALUE=3 SUM=8 LATENCY=3 cycles=6
// case: WEIGHT=2 SIMD=1 VALUE=4 VALUE_SIGNED=1 SUM=7 LATENCY=2 cycles=5
    int proof_sum, proof_weight, proof_number;
    int proof_sums [LATENCY];
    logic [LATENCY-1:0] proof_known = '0;
    always_comb begin
        proof_sum = 0;
        proof_weight = 0;
        proof_number = 0;
        for (int b = 0; b < SIMD; b++) begin
            proof_weight = 32'($signed(codes[b*WEIGHT+:WEIGHT]));
            if (BIPOLAR) proof_weight = codes[b*WEIGHT] ? 1 : -1;
            proof_number = VALUE_SIGNED ? 32'($signed(numbers[b*VALUE+:VALUE])) : 32'(numbers[b*VALUE+:VALUE]);
            if (!TIMES) proof_number = 1;
            if (keep[b]) proof_sum += proof_weight * proof_number;
        end
    end
    always_ff @(posedge clk) begin
        proof_known <= LATENCY'({proof_known, 1'b1});
        proof_sums[0] <= proof_sum;
        for (int i = 1; i < LATENCY; i++) proof_sums[i] <= proof_sums[i-1];
    end
    always_comb begin
        if (proof_known[LATENCY-1]) total_of: assert (32'($signed(total)) == proof_sums[LATENCY-1]);
    end

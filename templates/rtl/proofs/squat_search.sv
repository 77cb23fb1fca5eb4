
// ---- Properties, put before the end of squat_search.
// shows: what is found is the number of the owner's entries that the key reaches, LEVEL moves later
// case: LEVEL=1 KEY=4 OWNERS=3 OWNER=2 TABLE=one cycles=8
// case: LEVEL=2 KEY=4 OWNERS=2 OWNER=1 TABLE=two cycles=8
// case: LEVEL=3 KEY=4 TABLE=wide cycles=8
// memory one.hex: 0 7 2 7 d 7
// memory one_0.hex: 0 2 d
// memory two.hex: e 0 2 7 f 1 3 7
// memory two_0.hex: 0 1
// memory two_1.hex: 2e 3f
// memory wide.hex: a c f 0 1 3 7 7
// memory wide_0.hex: 0
// memory wide_1.hex: 3c
// memory wide_2.hex: 71fa
    logic signed [KEY-1:0] proof_table [OWNERS << LEVEL];
    initial $readmemh({TABLE, ".hex"}, proof_table);
    logic signed [KEY-1:0] proof_keys [LEVEL];
    logic [OWNER-1:0] proof_owners [LEVEL + 1];
    logic [LEVEL:0] proof_fed = '0;  // stages that hold what was fed
    logic [LEVEL:0] proof_count;
    always_ff @(posedge clk) if (move) begin
        proof_fed <= (LEVEL + 1)'({proof_fed, 1'b1});
        proof_keys[0] <= key;
        proof_owners[0] <= owner;
        for (int stage = 1; stage < LEVEL; stage++) proof_keys[stage] <= proof_keys[stage-1];
        for (int stage = 1; stage <= LEVEL; stage++) proof_owners[stage] <= proof_owners[stage-1];
    end
    always_comb begin
        assume (int'(owner) < OWNERS);
        proof_count = '0;
        for (int i = 0; i < (1 << LEVEL) - 1; i++) begin
            if (proof_table[(int'(proof_owners[LEVEL]) << LEVEL) | i] <= proof_keys[LEVEL-1]) proof_count = (LEVEL + 1)'(i + 1);
        end
        if (proof_fed[LEVEL]) counted: assert ({1'b0, found} == proof_count);
    end


// ---- Properties, put before the end of squat_search.
// shows: what is found is the number of the owner's entries that the key reaches, LEVEL moves later
// case: LEVEL=2 KEY=4 OWNERS=2 OWNER=1 TABLE=table.hex cycles=8
// case: LEVEL=3 KEY=4 TABLE=wide.hex cycles=8
// memory table.hex: e 0 2 7 f 1 3 7
// memory wide.hex: a c f 0 1 3 7 7
    logic signed [KEY-1:0] proof_keys [LEVEL];
    logic [OWNER-1:0] proof_owners [LEVEL];
    logic [LEVEL-1:0] proof_fed = '0;  // stages that hold what was fed
    logic [LEVEL:0] proof_count;
    always_ff @(posedge clk) if (move) begin
        proof_fed <= LEVEL'({proof_fed, 1'b1});
        proof_keys[0] <= key;
        proof_owners[0] <= owner;
        for (int stage = 1; stage < LEVEL; stage++) begin
            proof_keys[stage] <= proof_keys[stage-1];
            proof_owners[stage] <= proof_owners[stage-1];
        end
    end
    always_comb begin
        assume (int'(owner) < OWNERS);
        proof_count = '0;
        for (int i = 0; i < (1 << LEVEL) - 1; i++) begin
            if (searched[(int'(proof_owners[LEVEL-1]) << LEVEL) | i] <= proof_keys[LEVEL-1]) proof_count = (LEVEL + 1)'(i + 1);
        end
        if (proof_fed[LEVEL-1]) counted: assert ({1'b0, found} == proof_count);
    end

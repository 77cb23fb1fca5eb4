
// ---- Properties, put before the end of squat_recode.
// shows: every beat leaves once, in its order, with its index as the table names it; a beat stays until it is taken; nobody waits but for the other side
// case: ENTRIES=4 INDEX=2 CODE=3 VALUE=2 CODES=codes.hex cycles=8 induction=3 twins=8
// memory codes.hex: 5 0 7 2
    localparam int PROOF_BEAT = 2 + FLAGS + CODE + VALUE;
    logic [CODE-1:0] proof_codes [ENTRIES];
    initial $readmemh(CODES, proof_codes);
    logic proof_holds = 1'b0;
    logic [PROOF_BEAT-1:0] proof_beat = '0;
    always_ff @(posedge clk) begin
        if (in_valid && in_ready) proof_beat <= {in_end, in_flags, in_keep, proof_codes[in_index], in_value};
        proof_holds <= !rst && ((in_valid && in_ready) || (proof_holds && !out_ready));
    end
    always_comb begin
        offers: assert (out_valid == proof_holds);
        moves: assert (in_ready == (!proof_holds || out_ready));
        if (proof_holds) same: assert ({out_end, out_flags, out_keep, out_index, out_value} == proof_beat);
    end


// ---- Properties, put before the end of squat_narrow.
// shows: every row leaves as PARTS beats, lowest first, and is taken with the last; a step ends with the last of its last row
// case: FIELDS=6 VALUE=1 PARTS=3 cycles=9 induction=3 twins=8
    logic [PART-1:0] proof_part = '0;
    logic proof_waits = 1'b0;
    logic [FIELDS*VALUE+FLAGS:0] proof_offered = '0;
    always_ff @(posedge clk) begin
        proof_waits <= !rst && in_valid && !in_ready;
        proof_offered <= {in_last, in_flags, in_fields};
        if (rst) proof_part <= '0;
        else if (out_valid && out_ready) proof_part <= int'(proof_part) == PARTS - 1 ? '0 : proof_part + 1'b1;
    end
    always_comb begin
        if (proof_waits) assume (in_valid && {in_last, in_flags, in_fields} == proof_offered);
        offers: assert (out_valid == in_valid);
        taken_last: assert (in_ready == (out_ready && int'(proof_part) == PARTS - 1));
        part_of: assert (out_fields == BITS'(in_fields >> int'(proof_part) * BITS));
        end_of: assert (out_last == (in_last && int'(proof_part) == PARTS - 1) && out_flags == in_flags);
        counted: assert (part == proof_part);
    end


// ---- Properties, put before the end of squat_add.
// shows: sums are those of both pages, each times its factor; both are asked and given back together
// case: PE=2 ROW=1 SUM_A=3 SUM_B=2 FACTOR_A=2 FACTOR_B=3 SUM=7 cycles=1 induction=1
    for (genvar l = 0; l < PE; l++) begin : g_proof
        int one, other, both;
        assign one = 32'($signed(a_sums[l*SUM_A+:SUM_A]));
        assign other = 32'($signed(b_sums[l*SUM_B+:SUM_B]));
        assign both = 32'($signed(out_sums[l*SUM+:SUM]));
        always_comb assert (both == one * FACTOR_A + other * FACTOR_B);
    end
    always_comb begin
        full_when_both: assert (out_full == (a_full && b_full));
        asked: assert (a_row == out_row && b_row == out_row && a_read == out_read && b_read == out_read);
        given_back: assert (a_done == out_done && b_done == out_done);
    end

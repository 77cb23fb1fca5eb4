
// ---- Properties, put before the end of squat_unload.
// shows: every row of a page leaves once, in order, with its flags, lanes without a channel as 0; a page is given back once; of a held page only the first step has numbers; a row stays until it is taken
// case: PE=2 GROUPS=2 CHANNELS=3 SUM=2 cycles=9 twins=9
// case: PE=1 GROUPS=1 CHANNELS=1 SUM=2 POSITIONS=2 HELD=1 cycles=9
    logic proof_full = 1'b0;
    logic [FLAGS-1:0] proof_flags = '0;
    logic proof_kept = 1'b0;                   // no row was read: the sums stay
    logic [PE*SUM-1:0] proof_sums = '0;
    logic [ROW:0] proof_asked = '0;            // rows of the page
    logic proof_holds = 1'b0;                  // a row, which one, and its step
    logic [ROW-1:0] proof_row = '0;
    logic proof_last = 1'b0;
    logic proof_empty = 1'b0;
    logic [FLAGS-1:0] proof_step = '0;
    logic proof_waits = 1'b0;
    logic [PE*SUM+FLAGS:0] proof_offered = '0;
    logic proof_blank;
    assign proof_blank = HELD && !in_flags[0];
    always_ff @(posedge clk) begin
        proof_kept <= !in_read;
        proof_sums <= in_sums;
        proof_full <= !rst && in_full && !in_done;
        proof_flags <= in_flags;
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_last, out_flags, out_fields};
        proof_holds <= !rst && (in_read || (proof_holds && !out_ready));
        if (rst) proof_asked <= '0;
        else if (in_read) begin
            proof_asked <= in_done ? '0 : proof_asked + 1'b1;
            proof_row <= in_row;
            proof_last <= in_done;
            proof_empty <= proof_blank;
            proof_step <= in_flags;
        end
    end
    logic [PE-1:0] proof_same;
    for (genvar l = 0; l < PE; l++) begin : g_proof
        logic shown;
        assign shown = !proof_empty && int'(proof_row) % GROUPS * PE + l < CHANNELS;
        assign proof_same[l] = out_fields[l*SUM+:SUM] == (shown ? in_sums[l*SUM+:SUM] : '0);
    end
    always_comb begin
        if (proof_full) assume (in_full && in_flags == proof_flags);
        if (proof_kept) assume (in_sums == proof_sums);
        if (in_read) begin
            read_full: assert (in_full);
            in_order: assert (proof_blank ? proof_asked == '0 : (ROW + 1)'(in_row) == proof_asked);
        end
        given_back: assert (in_done == (in_read && (proof_blank || int'(proof_asked) == ROWS - 1)));
        moves: assert (in_read == (in_full && (!proof_holds || out_ready)));
        offers: assert (out_valid == proof_holds);
        if (proof_holds) begin
            numbers: assert (&proof_same);
            step_of: assert (out_last == proof_last && out_flags == proof_step);
        end
        if (proof_waits) stays: assert (out_valid && {out_last, out_flags, out_fields} == proof_offered);
    end

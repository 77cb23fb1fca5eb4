
// ---- Properties, put before the end of squat_events.
// shows: every event is counted once, in its step, up to the highest count; a step has all its rows, in their order, one end, and the flags of its call; what is no address and what is left of a sequence is dropped; a row stays until it is taken; an event waits for a page alone
// case: WORDS=2 FIELDS=2 BITS=2 SIZE=3 HIGH=2 WINDOW=2 cycles=10 twins=9
// case: WORDS=1 FIELDS=1 BITS=1 SIZE=1 HIGH=1 WINDOW=3 cycles=10
    (* anyconst *) logic [15:0] proof_address;  // any address may be the one that is followed
    logic proof_called = 1'b0;
    logic proof_runs = 1'b0, proof_starts = 1'b0, proof_drops = 1'b0;
    logic proof_over = 1'b1;                     // the sequence has ended
    logic [1:0] proof_steps = '0, proof_ended = '0;
    logic [16:0] proof_limit = '0;
    logic [BITS-1:0] proof_count = '0;           // of this step
    logic [BITS-1:0] proof_counts [2];           // of steps that wait to be given
    logic [1:0] proof_flags [2];
    logic proof_in = 1'b0, proof_out = 1'b0;     // places there
    logic [1:0] proof_waiting = '0;
    logic [ROW:0] proof_row = '0;
    logic proof_held = 1'b0;
    logic [FIELDS*BITS+2:0] proof_offered = '0;

    logic proof_taken, proof_end, proof_later, proof_given, proof_opens, proof_counted;
    assign proof_taken = s_axis_tvalid && s_axis_tready;
    assign proof_end = s_axis_tdata == '1;
    assign proof_later = {1'b0, s_axis_tdata[31:16]} >= proof_limit;
    assign proof_given = out_valid && out_ready;
    assign proof_opens = restart || !proof_called;
    assign proof_counted = proof_taken && !proof_drops && !proof_end;

    always_ff @(posedge clk) begin
        proof_held <= !rst && out_valid && !out_ready;
        proof_offered <= {out_last, out_flags, out_fields};
        if (rst) begin
            proof_called <= 1'b0;
            proof_runs <= 1'b0;
            proof_drops <= 1'b0;
            proof_over <= 1'b1;
            proof_count <= '0;
            proof_in <= 1'b0;
            proof_out <= 1'b0;
            proof_waiting <= '0;
            proof_row <= '0;
        end else begin
            if (start) begin
                proof_called <= 1'b1;
                proof_runs <= 1'b1;
                proof_starts <= proof_opens;
                proof_steps <= steps[1:0];
                proof_ended <= '0;
                if (proof_opens) begin
                    proof_drops <= !proof_over;
                    proof_over <= 1'b0;
                    proof_limit <= 17'(WINDOW);
                end
            end
            if (proof_drops && proof_taken && proof_end) proof_drops <= 1'b0;
            if (proof_counted && s_axis_tdata[15:0] == proof_address && proof_count != BITS'(HIGH)) begin
                proof_count <= proof_count + 1'b1;
            end
            if (ends) begin
                if (proof_taken) proof_over <= 1'b1;
                proof_counts[proof_in] <= proof_count;
                proof_flags[proof_in] <= {proof_ended == proof_steps - 1'b1, proof_starts && proof_ended == '0};
                proof_in <= !proof_in;
                proof_count <= '0;
                proof_limit <= proof_limit + 17'(WINDOW);
                proof_ended <= proof_ended + 1'b1;
                if (proof_ended == proof_steps - 1'b1) proof_runs <= 1'b0;
            end
            proof_waiting <= proof_waiting + 2'(ends) - 2'(proof_given && out_last);
            if (proof_given) proof_row <= out_last ? '0 : proof_row + 1'b1;
            if (proof_given && out_last) proof_out <= !proof_out;
        end
    end

    always_comb begin
        assume (32'(proof_address) < SIZE);
        assume (!start || (idle && steps > 0 && steps < 4));
        assume (s_axis_tdata[31:16] < 16'd8 || s_axis_tdata == '1);

        busy: assert (idle == !proof_runs);
        page_for: assert (!ends || proof_waiting != 2'd2);
        step_ends: assert (!ends || (proof_runs && !proof_drops && (proof_over || (s_axis_tvalid && (proof_end || proof_later)))));
        in_its_step: assert (!proof_counted || (proof_runs && !proof_over && !proof_later));
        end_taken: assert (!proof_taken || !proof_end || proof_drops || ends);
        dropped: assert (!proof_drops || s_axis_tready);
        goes_on: assert (!proof_runs || proof_drops || clearing || proof_waiting == 2'd2 || ends || take || !s_axis_tvalid);
        if (out_valid) begin
            offers: assert (proof_waiting != '0);
            end_of: assert (out_last == (32'(proof_row) == WORDS - 1));
            flags_of: assert (out_flags == proof_flags[proof_out]);
            if (32'(proof_row) == 32'(proof_address) / FIELDS) begin
                counted_all: assert (out_fields[(32'(proof_address)%FIELDS)*BITS+:BITS] == proof_counts[proof_out]);
            end
        end
        if (proof_held) stays: assert (out_valid && {out_last, out_flags, out_fields} == proof_offered);
    end

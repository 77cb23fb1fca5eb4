
// ---- Properties, put before the end of squat_windows.
// shows: an event becomes one of every window that it lies in, and of no other; events stay in order, with number and flags; one end a step; nobody waits but for the other side
// case: CHANNELS=2 HEIGHT=2 WIDTH=3 VALUE=2 TAPS=2 GIVEN=4 RIGHT=-1 DOWN=-2 CHANNEL=channel.hex LINE=line.hex COLUMN=column.hex cycles=11 twins=9
// Windows of 2 x 2, side by side, over a plane with a line of padding above and below: 3 x 2 of a channel.
// memory channel.hex: 00 08
// memory line.hex: 42 44
// memory column.hex: 20 41 21
    localparam int PROOF_LINES = 3;
    localparam int PROOF_COLUMNS = 2;
    localparam int PROOF_X = $clog2(WIDTH);
    localparam int PROOF_OUT_X = $clog2(PROOF_COLUMNS);
    localparam int PROOF_OUT_Y = $clog2(PROOF_LINES);
    // Whether a place lies in a window, by channel, line and column of both.
    function automatic logic proof_in(input logic [INDEX-1:0] index, input int channel, input int line, input int column);
        int y, x;
        y = (32'(index) >> PROOF_X) % HEIGHT + 1;
        x = 32'(index) % (1 << PROOF_X);
        proof_in = channel == 32'(index) >> (PROOF_X + $clog2(HEIGHT)) && line < PROOF_LINES && column < PROOF_COLUMNS
            && (y == line || y == line + 1) && (x == column || x == column + 1);
    endfunction

    // Events that came and whose windows have not all left, oldest first.
    logic [1:0] proof_waiting = '0;
    logic [INDEX-1:0] proof_index [2];
    logic [VALUE+FLAGS+1:0] proof_carried [2];      // whether there is one, its end, flags and number
    logic [2:0] proof_given = '0;                   // windows of the oldest, and those that it lies in
    logic [2:0] proof_all;
    (* anyconst *) logic [GIVEN-1:0] proof_window;  // any window may be the one that is followed
    logic proof_seen = 1'b0;
    logic proof_in_waits = 1'b0;
    logic [INDEX+VALUE+FLAGS+1:0] proof_in_offered = '0;
    logic [1:0] proof_still = '0;                   // cycles in which a waiting event gave nothing
    always_comb begin
        proof_all = '0;
        for (int line = 0; line < PROOF_LINES; line++) begin
            for (int column = 0; column < PROOF_COLUMNS; column++) begin
                proof_all = proof_all + 3'(proof_in(proof_index[0], 32'(proof_index[0]) >> (PROOF_X + $clog2(HEIGHT)), line, column));
            end
        end
    end

    logic proof_take, proof_give, proof_enters, proof_leaves, proof_keeps;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_enters = proof_take && (in_keep || in_end);
    assign proof_keeps = proof_carried[0][VALUE+FLAGS+1];
    assign proof_leaves = proof_give && (!proof_keeps || proof_given == proof_all - 1'b1);
    always_ff @(posedge clk) begin
        proof_in_waits <= !rst && in_valid && !in_ready;
        proof_in_offered <= {in_end, in_flags, in_keep, in_index, in_value};
        proof_still <= rst || out_valid || proof_waiting == '0 ? '0 : proof_still + 1'b1;
        if (proof_leaves) begin
            proof_index[0] <= proof_index[1];
            proof_carried[0] <= proof_carried[1];
        end
        if (proof_enters) begin
            proof_index[1'(proof_waiting - 2'(proof_leaves))] <= in_index;
            proof_carried[1'(proof_waiting - 2'(proof_leaves))] <= {in_keep, in_end, in_flags, in_value};
        end
        if (rst) begin
            proof_waiting <= '0;
            proof_given <= '0;
            proof_seen <= 1'b0;
        end else begin
            proof_waiting <= proof_waiting + 2'(proof_enters) - 2'(proof_leaves);
            if (proof_give) begin
                proof_given <= proof_leaves ? '0 : proof_given + 1'b1;
                proof_seen <= !proof_leaves && (proof_seen || out_index == proof_window);
            end
        end
    end
    always_comb begin
        if (proof_in_waits) assume (in_valid && {in_end, in_flags, in_keep, in_index, in_value} == proof_in_offered);
        if (in_valid) assume (32'(in_index) % (1 << PROOF_X) < WIDTH);
        if (out_valid) begin
            from_event: assert (proof_waiting != '0 && out_keep == proof_keeps);
            carried: assert ({out_flags, out_value} == proof_carried[0][VALUE+FLAGS-1:0]);
            end_of: assert (out_end == (proof_carried[0][VALUE+FLAGS] && (!proof_keeps || proof_given == proof_all - 1'b1)));
            if (out_keep) begin
                lies_in: assert (proof_in(proof_index[0], 32'(out_index) >> (PROOF_OUT_X + PROOF_OUT_Y),
                    32'(out_index) >> PROOF_OUT_X & 3, 32'(out_index) & 1));
                once: assert (!(proof_seen && out_index == proof_window));
            end
        end
        if (proof_waiting == '0) moves: assert (in_ready);
        in_time: assert (proof_still < 2);
    end

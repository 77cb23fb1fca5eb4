
// ---- Properties, put before the end of squat_walk.
// shows: an event meets every output in whose window it lies, by the weight of the tap that joins them, in each of its groups, nothing else, and none of them twice; events stay in order, with number and flags; one end a step, also where its last event meets nothing; a visit stays until it is taken; nobody waits but for the other side
// case: CHANNELS=2 HEIGHT=2 WIDTH=3 VALUE=1 TAPS=2 WORD=3 PLACE=3 SPAN=1 WORD_RIGHT=2 PLACE_RIGHT=-2 WORD_DOWN=2 PLACE_DOWN=-2 CHANNEL=grouped.hex LINE=grouped_line.hex COLUMN=grouped_column.hex cycles=12 twins=10
// case: CHANNELS=1 HEIGHT=2 WIDTH=2 VALUE=2 TAPS=2 WORD=3 PLACE=4 SPAN=2 WORD_RIGHT=1 PLACE_RIGHT=3 WORD_DOWN=4 PLACE_DOWN=4 CHANNEL=transposed.hex LINE=transposed_line.hex COLUMN=transposed_column.hex cycles=14
// A convolution in two groups, of which the last column meets nothing, and a transposed one.
// memory grouped.hex: 00 21
// memory grouped_line.hex: 82 84
// memory grouped_column.hex: 40 48 00
// memory geometry_grouped.hex: 02 03 01 01 01 01 02 01 02 00 01 01 02 01
// memory transposed.hex: 00
// memory transposed_line.hex: 100 108
// memory transposed_column.hex: 0a2 080
// memory geometry_transposed.hex: 02 04 01 00 ff 02 02 02 01 ff fe 01 02 00
    // What a kernel is: an event at `place` meets the output o by the tap t where o * stride + t * dilation is
    // place * apart + padding. Of y and x: taps, outputs, stride, padding, dilation, apart; then the groups at an output,
    // and by how many of them one channel's first is behind that of the channel before.
    localparam int PROOF_MOST = 4;                 // taps along an axis, and outputs
    logic signed [7:0] proof_kernel [14];
    initial $readmemh({"geometry_", CHANNEL}, proof_kernel);

    // Events that came and whose visits have not all left, oldest first; those without any are none, but for an end.
    logic [1:0] proof_waiting = '0;
    logic [INDEX-1:0] proof_index [2];
    logic [VALUE+FLAGS:0] proof_carried [2];       // its end, flags and number
    logic [1:0] proof_keeps;
    logic [5:0] proof_given = '0;                  // visits of the oldest
    logic [5:0] proof_visits;                      // that it has in all
    logic [5:0] proof_coming;                      // that the event at the input has
    (* anyconst *) logic [WORD-1:0] proof_word;    // any visit of the oldest may be the one that is followed
    logic proof_seen = 1'b0;
    logic proof_inside = 1'b0;                     // a step has begun and not ended
    logic [FLAGS-1:0] proof_flags = '0;
    logic proof_in_waits = 1'b0;
    logic [INDEX+VALUE+FLAGS+1:0] proof_in_offered = '0;
    logic proof_waits = 1'b0;
    logic [WORD+PLACE+VALUE+FLAGS+1:0] proof_offered = '0;
    logic [2:0] proof_still = '0;                  // cycles in which a waiting event gave nothing

    // How many taps meet an output from a place along an axis, 0 for y and 6 for x; which ones, and where.
    logic [PROOF_MOST-1:0] proof_meets [4];        // of the oldest along y and x, and of the one that comes
    logic signed [7:0] proof_output [2][PROOF_MOST];
    logic signed [7:0] proof_place [4];
    assign proof_place[0] = 8'((32'(proof_index[0]) >> X_BITS) % (1 << Y_BITS));
    assign proof_place[1] = 8'(32'(proof_index[0]) % (1 << X_BITS));
    assign proof_place[2] = 8'((32'(in_index) >> X_BITS) % (1 << Y_BITS));
    assign proof_place[3] = 8'(32'(in_index) % (1 << X_BITS));
    for (genvar w = 0; w < 4; w++) begin : g_proof_axis
        for (genvar t = 0; t < PROOF_MOST; t++) begin : g_tap
            localparam int AXIS = w % 2 * 6;
            logic [PROOF_MOST-1:0] fits;
            for (genvar o = 0; o < PROOF_MOST; o++) begin : g_output
                assign fits[o] = t < proof_kernel[AXIS] && o < proof_kernel[AXIS+1]
                    && o * proof_kernel[AXIS+2] + t * proof_kernel[AXIS+4]
                    == proof_place[w] * proof_kernel[AXIS+5] + proof_kernel[AXIS+3];
            end
            assign proof_meets[w][t] = fits != '0;
            if (w < 2) assign proof_output[w][t] = fits[1] ? 8'sd1 : fits[2] ? 8'sd2 : fits[3] ? 8'sd3 : 8'sd0;
        end
    end
    function automatic logic [5:0] proof_count(input logic [PROOF_MOST-1:0] lines, input logic [PROOF_MOST-1:0] columns);
        logic [5:0] down, right;
        down = '0;
        right = '0;
        for (int t = 0; t < PROOF_MOST; t++) begin
            down = down + 6'(lines[t]);
            right = right + 6'(columns[t]);
        end
        proof_count = down * right * 6'(SPAN);
    endfunction
    assign proof_visits = proof_keeps[0] ? proof_count(proof_meets[0], proof_meets[1]) : '0;
    assign proof_coming = in_keep ? proof_count(proof_meets[2], proof_meets[3]) : '0;

    // Whether a visit of the oldest is one that there is.
    logic [PROOF_MOST*PROOF_MOST*SPAN-1:0] proof_is;
    logic [7:0] proof_channel;
    assign proof_channel = 8'(32'(proof_index[0]) >> (X_BITS + Y_BITS));
    for (genvar y = 0; y < PROOF_MOST; y++) begin : g_proof_y
        for (genvar x = 0; x < PROOF_MOST; x++) begin : g_x
            logic [7:0] tap, position;
            assign tap = (proof_channel % 8'(CHANNELS) * proof_kernel[0] + 8'(y)) * proof_kernel[6] + 8'(x);
            assign position = proof_output[0][y] * proof_kernel[7] + proof_output[1][x];
            for (genvar g = 0; g < SPAN; g++) begin : g_group
                assign proof_is[(y*PROOF_MOST+x)*SPAN+g] = proof_meets[0][y] && proof_meets[1][x]
                    && out_word == WORD'(tap * 8'(SPAN) + 8'(g))
                    && out_place == PLACE'(position * proof_kernel[12] + proof_channel * proof_kernel[13] + 8'(g));
            end
        end
    end

    logic proof_take, proof_give, proof_enters, proof_leaves;
    assign proof_take = in_valid && in_ready;
    assign proof_give = out_valid && out_ready;
    assign proof_enters = proof_take && (proof_coming != '0 || in_end);
    assign proof_leaves = proof_give && (proof_visits == '0 || proof_given == proof_visits - 1'b1);
    always_ff @(posedge clk) begin
        proof_in_waits <= !rst && in_valid && !in_ready;
        proof_in_offered <= {in_end, in_flags, in_keep, in_index, in_value};
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= {out_end, out_flags, out_keep, out_word, out_place, out_value};
        proof_still <= rst || out_valid || proof_waiting == '0 ? '0 : proof_still + 1'b1;
        if (proof_leaves) begin
            proof_index[0] <= proof_index[1];
            proof_carried[0] <= proof_carried[1];
            proof_keeps[0] <= proof_keeps[1];
        end
        if (proof_enters) begin
            proof_index[1'(proof_waiting - 2'(proof_leaves))] <= in_index;
            proof_carried[1'(proof_waiting - 2'(proof_leaves))] <= {in_end, in_flags, in_value};
            proof_keeps[1'(proof_waiting - 2'(proof_leaves))] <= in_keep;
        end
        if (rst) begin
            proof_waiting <= '0;
            proof_given <= '0;
            proof_seen <= 1'b0;
            proof_inside <= 1'b0;
        end else begin
            proof_waiting <= proof_waiting + 2'(proof_enters) - 2'(proof_leaves);
            if (proof_give) begin
                proof_given <= proof_leaves ? '0 : proof_given + 1'b1;
                proof_seen <= !proof_leaves && (proof_seen || out_word == proof_word);
            end
            if (proof_take) proof_inside <= !in_end;
            if (proof_take) proof_flags <= in_flags;
        end
    end
    always_comb begin
        if (proof_in_waits) assume (in_valid && {in_end, in_flags, in_keep, in_index, in_value} == proof_in_offered);
        if (in_valid) begin
            assume (!proof_inside || in_flags == proof_flags);
            assume (32'(in_index) >> (X_BITS + Y_BITS) < CHANNELS);
            assume (32'(proof_place[2]) < HEIGHT && 32'(proof_place[3]) < WIDTH);
        end
        if (out_valid) begin
            from_event: assert (proof_waiting != '0);
            carried: assert ({out_flags, out_value} == proof_carried[0][VALUE+FLAGS-1:0]);
            keeps: assert (out_keep == (proof_visits != '0));
            end_of: assert (out_end == (proof_carried[0][VALUE+FLAGS] && (proof_visits == '0 || proof_given == proof_visits - 1'b1)));
            if (out_keep) begin
                in_window: assert (proof_is != '0);
                once: assert (!(proof_seen && out_word == proof_word));
            end
        end
        if (proof_waits) stays: assert (out_valid && {out_end, out_flags, out_keep, out_word, out_place, out_value} == proof_offered);
        if (proof_waiting == '0) moves: assert (in_ready);
        in_time: assert (proof_still < 2);
    end

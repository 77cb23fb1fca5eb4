
// ---- Properties, put before the end of squat_fifo.
// shows: no word is lost, doubled or reordered; only a full queue refuses and only an empty one has nothing; what is offered stays until it is taken
// case: WIDTH=2 DEPTH=4 cycles=12 induction=3 twins=10
// case: WIDTH=1 DEPTH=2 cycles=10 induction=3
    (* anyseq *) logic proof_mark;       // any word may be the one that is followed
    logic proof_marked = 1'b0;
    logic [WIDTH-1:0] proof_word = '0;
    logic [BITS:0] proof_ahead = '0;     // words before it
    logic [BITS:0] proof_inside = '0;    // words that were put and not taken
    logic proof_waits = 1'b0;            // a word was offered and not taken
    logic [WIDTH-1:0] proof_offered = '0;
    logic proof_put, proof_take;
    assign proof_put = in_valid && in_ready;
    assign proof_take = out_valid && out_ready;

    always_ff @(posedge clk) begin
        proof_waits <= !rst && out_valid && !out_ready;
        proof_offered <= out_data;
        if (rst) begin
            proof_marked <= 1'b0;
            proof_inside <= '0;
        end else begin
            proof_inside <= proof_inside + (BITS + 1)'(proof_put) - (BITS + 1)'(proof_take);
            if (!proof_marked && proof_put && proof_mark) begin
                proof_marked <= 1'b1;
                proof_word <= in_data;
                proof_ahead <= proof_inside - (BITS + 1)'(proof_take);
            end else if (proof_marked && proof_take) begin
                proof_marked <= proof_ahead != '0;
                proof_ahead <= proof_ahead - 1'b1;
            end
        end
    end

    logic [BITS-1:0] proof_place;
    assign proof_place = first + proof_ahead[BITS-1:0];
    always_comb begin
        capacity: assert (int'(proof_inside) <= DEPTH);
        counted: assert (proof_inside == level && level[BITS-1:0] == next - first);
        refuses: assert (in_ready == (int'(proof_inside) != DEPTH));
        offers: assert (out_valid == (proof_inside != '0));
        if (proof_marked) begin
            inside: assert (proof_ahead < proof_inside);
            kept: assert (words[proof_place] == proof_word);
            if (proof_ahead == '0) order: assert (out_data == proof_word);
        end
        if (proof_waits) stays: assert (out_valid && out_data == proof_offered);
    end

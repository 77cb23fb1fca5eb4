
// ---- Properties, put before the end of squat_weights.
// shows: a word is that of the whole memory, at the address of two cycles before
// case: WIDTH=3 ROWS=4 COLUMN=2 DEPTH=2 FILE=w cycles=5 induction=4
// case: WIDTH=3 ROWS=4 COLUMN=3 DEPTH=4 FILE=v cycles=5 induction=4
// memory w.hex: 5 2 7 1
// memory w_000_000.hex: 1 2
// memory w_000_001.hex: 3 1
// memory w_001_000.hex: 1 0
// memory w_001_001.hex: 1 0
// memory v.hex: 5 2 7 1
// memory v_000_000.hex: 5 2 7 1
    logic [WIDTH-1:0] proof_words [ROWS];
    initial $readmemh({FILE, ".hex"}, proof_words);
    logic [1:0] proof_read = '0;
    logic [$clog2(ROWS)-1:0] proof_address = '0;
    logic [$clog2(ROWS)-1:0] proof_earlier = '0;
    always_ff @(posedge clk) begin
        proof_read <= {proof_read[0], 1'b1};
        proof_address <= address;
        proof_earlier <= proof_address;
    end
    always_comb if (proof_read[1]) same: assert (word == proof_words[proof_earlier]);

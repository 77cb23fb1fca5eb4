
// ---- Properties, put before the end of squat_rom.
// shows: a word is that of the file, at the address of the cycle before
// case: WIDTH=4 DEPTH=4 FILE=rom.hex cycles=4 induction=2 twins=10
// memory rom.hex: 9 3 0 e
    logic [WIDTH-1:0] proof_words [DEPTH];
    initial $readmemh(FILE, proof_words);
    logic proof_read = 1'b0;
    logic [$clog2(DEPTH)-1:0] proof_address = '0;
    always_ff @(posedge clk) begin
        proof_read <= 1'b1;
        proof_address <= address;
    end
    always_comb if (proof_read) same: assert (word == proof_words[proof_address]);

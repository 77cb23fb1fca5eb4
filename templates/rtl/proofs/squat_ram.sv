
// ---- Properties, put before the end of squat_ram.
// shows: what is read is what was written there last; not asked where both happen at once
// case: WIDTH=2 DEPTH=3 cycles=8 induction=3
    (* anyconst *) logic [ADDRESS-1:0] proof_at;  // any address may be the one that is followed
    logic proof_written = 1'b0;
    logic [WIDTH-1:0] proof_word = '0;
    logic proof_shows = 1'b0;
    logic [WIDTH-1:0] proof_shown = '0;
    always_ff @(posedge clk) begin
        if (write && write_at == proof_at) begin
            proof_written <= 1'b1;
            proof_word <= written;
        end
        if (read) proof_shows <= proof_written && read_at == proof_at && !(write && write_at == proof_at);
        if (read) proof_shown <= proof_word;
    end
    always_comb begin
        assume (int'(proof_at) < DEPTH && int'(write_at) < DEPTH && int'(read_at) < DEPTH);
        if (proof_shows) last_written: assert (word == proof_shown);
        if (proof_written) held: assert (words[proof_at] == proof_word);
    end


// ---- Properties, put before the end of squat_fork.
// shows: a beat goes to all that want it in the cycle in which it is taken, and to nobody else; nobody gets a beat that is not there
// case: LEGS=3 TICKS=2 cycles=2 induction=1
    always_comb begin
        if (in_valid && in_ready) begin
            to_all: assert (out_valid == (in_last ? '1 : ~TICKS));
            taken: assert ((out_valid & ~out_ready) == '0);
        end else begin
            to_nobody: assert (out_valid == '0);
        end
        if (out_ready == '1) moves: assert (in_ready);
    end

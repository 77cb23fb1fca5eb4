
// ---- Properties, put before the end of squat_product.
// shows: it is the weight of the code times the number, both with their signs
// case: WEIGHT=3 VALUE=2 SUM=7 cycles=1 induction=1
// case: WEIGHT=3 VALUE=2 VALUE_SIGNED=1 SUM=7 cycles=1 induction=1
// case: WEIGHT=1 BIPOLAR=1 VALUE=1 SUM=4 cycles=1 induction=1
    int proof_weight, proof_number;
    always_comb begin
        proof_weight = 32'($signed(code));
        if (BIPOLAR && code[0]) proof_weight = 1;
        else if (BIPOLAR) proof_weight = -1;
        proof_number = VALUE_SIGNED ? 32'($signed(number)) : 32'(number);
        if (VALUE == 1 && !VALUE_SIGNED) proof_number = 1;
        product_of: assert (32'(product) == proof_weight * proof_number);
    end

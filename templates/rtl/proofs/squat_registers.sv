
// ---- Properties, put before the end of squat_registers.
// shows: one response for each address and data of a write, in whatever order they come, one for each read, none else;
// shows: a response stays until it is taken; nobody waits but for the other side; every START that was answered OKAY is
// shows: one call, with the steps and the RESTART of its write, unless a RESET comes; STEPS reads what was written
// case: STEPS=5 cycles=8 induction=3 twins=8
    logic [1:0] proof_addresses = '0, proof_words = '0;  // that came and are not answered
    logic proof_reads = 1'b0;
    logic [5:0] proof_address = '0, proof_from = '0;
    logic [31:0] proof_data = '0;
    logic [3:0] proof_strobes = '0;
    logic [31:0] proof_length = 32'(STEPS);              // STEPS
    logic [31:0] proof_open = '0;                        // calls that began and whose scores have not left
    logic proof_call = 1'b0, proof_restart = 1'b0;       // a call is owed
    logic [31:0] proof_steps = '0;
    logic proof_b_waits = 1'b0, proof_r_waits = 1'b0;
    logic [1:0] proof_bresp = '0;
    logic [33:0] proof_read = '0;
    logic proof_zero = 1'b1;                             // a reset was asked for in the cycle before, or this is the first

    logic proof_aw, proof_w, proof_b, proof_ar, proof_r, proof_write, proof_control, proof_start, proof_reset;
    assign proof_aw = s_axi_awvalid && s_axi_awready;
    assign proof_w = s_axi_wvalid && s_axi_wready;
    assign proof_b = s_axi_bvalid && s_axi_bready;
    assign proof_ar = s_axi_arvalid && s_axi_arready;
    assign proof_r = s_axi_rvalid && s_axi_rready;
    assign proof_write = proof_addresses == 2'd1 && proof_words == 2'd1 && !s_axi_bvalid;  // it is done now
    assign proof_control = proof_write && proof_address == 6'h00 && proof_strobes[0];
    assign proof_reset = proof_control && proof_data[2];
    assign proof_start = proof_control && proof_data[0] && !proof_data[2];

    always_ff @(posedge clk) begin
        proof_b_waits <= !rst && s_axi_bvalid && !s_axi_bready;
        proof_bresp <= s_axi_bresp;
        proof_r_waits <= !rst && s_axi_rvalid && !s_axi_rready;
        proof_read <= {s_axi_rresp, s_axi_rdata};
        proof_zero <= rst || proof_reset;
        if (proof_aw) proof_address <= s_axi_awaddr[7:2];
        if (proof_w) {proof_data, proof_strobes} <= {s_axi_wdata, s_axi_wstrb};
        if (proof_ar) proof_from <= s_axi_araddr[7:2];
        if (rst) begin
            proof_addresses <= '0;
            proof_words <= '0;
            proof_reads <= 1'b0;
            proof_length <= 32'(STEPS);
        end else begin
            proof_addresses <= proof_write ? '0 : proof_addresses + 2'(proof_aw);
            proof_words <= proof_write ? '0 : proof_words + 2'(proof_w);
            proof_reads <= proof_ar || (proof_reads && !proof_r);
            for (int part = 0; part < 4; part++) begin
                if (proof_write && proof_address == 6'h02 && proof_strobes[part]) begin
                    proof_length[part*8+:8] <= proof_data[part*8+:8];
                end
            end
        end
        proof_open <= rst || proof_reset ? '0 : proof_open + 32'(start) - 32'(sent);
        if (rst || proof_reset) proof_call <= 1'b0;
        else if (start) proof_call <= 1'b0;
        else if (proof_start && !proof_call && proof_length != '0) begin
            proof_call <= 1'b1;
            {proof_restart, proof_steps} <= {proof_data[1], proof_length};
        end
    end

    logic proof_written = 1'b0, proof_bad = 1'b0;        // a response is due, and whether it is a refusal
    always_ff @(posedge clk) begin
        proof_written <= !rst && (proof_write || (proof_written && !proof_b));
        if (proof_write) begin
            proof_bad <= proof_address != 6'h02;
            if (proof_address == 6'h00) proof_bad <= proof_start && (proof_call || proof_length == '0);
        end
    end

    always_comb begin
        one_address: assert (s_axi_awready == (proof_addresses == '0));
        one_word: assert (s_axi_wready == (proof_words == '0));
        response: assert (s_axi_bvalid == proof_written);
        answered: assert (!proof_written || s_axi_bresp == (proof_bad ? 2'b10 : 2'b00));
        as_came: assert (proof_addresses <= 2'd1 && proof_words <= 2'd1 && (!address_in || address == proof_address)
                         && (!data_in || {data, strobes} == {proof_data, proof_strobes}));
        as_kept: assert (length == proof_length && pending == proof_call
                         && (!pending || {restart, steps} == {proof_restart, proof_steps} && steps != '0));
        one_read: assert (s_axi_rvalid == proof_reads && s_axi_arready == !proof_reads);
        if (proof_b_waits) response_stays: assert (s_axi_bvalid && s_axi_bresp == proof_bresp);
        if (proof_r_waits) word_stays: assert (s_axi_rvalid && {s_axi_rresp, s_axi_rdata} == proof_read);
        called: assert (start == (proof_call && idle && !core_rst));
        if (start) as_asked: assert (restart == proof_restart && steps == proof_steps && steps != '0);
        resets_core: assert (core_rst == proof_zero);
        under_way: assert (started - done == proof_open && busy == (proof_open != '0));
        if (proof_reads) begin
            if (proof_from >= 6'h18 || proof_from == 6'h07) nothing: assert (s_axi_rdata == '0 && s_axi_rresp == 2'b10);
        end
    end
    logic proof_known = 1'b0;
    logic [31:0] proof_kept = '0;                        // STEPS when it was asked for
    always_ff @(posedge clk) begin
        if (proof_ar) proof_kept <= proof_length;
        proof_known <= !rst && (proof_ar ? s_axi_araddr[7:2] == 6'h02 : proof_known && !proof_r);
    end
    always_comb if (proof_known) steps_read: assert (s_axi_rdata == proof_kept && s_axi_rresp == '0);

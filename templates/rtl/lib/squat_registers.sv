// Registers of a core on AXI4-Lite: 32-bit words, by the address of their lowest byte.
//
//     00 CONTROL    written: bit 0 START a call of STEPS steps, bit 1 RESTART (with START: it begins a sequence),
//                   bit 2 RESET the core as at power-up: calls are dropped, counters are zero, STEPS stays,
//                   START does nothing; reads 0
//     04 STATUS     bit 0 READY: a START is taken now; bit 1 BUSY: scores of a call have not left
//     08 STEPS      of the next call; read and written, byte by byte
//     0c CALLS      whose scores have left, since the reset
//     10, 14 CYCLES with a call under way, since the reset, low and high; reading the low one keeps the high one
//     20 VERSION    of these registers
//     40 - 5c       digest of the network, the first 8 hexadecimal digits in the first word
//
// A START waits until the core is idle, so that calls follow one another closely. SLVERR answers what cannot be, and
// nothing happens then: a START that is not READY or of no steps, a write where nothing is written, any other address
// (which reads 0).
// Address and data of a write may come in any order. Latency: a cycle to a response behind what it answers; throughput:
// a write and a read in two cycles.
`default_nettype none

module squat_registers #(
    parameter bit [255:0] DIGEST = '0,
    parameter int STEPS = 1  // after a reset by `rst`
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        s_axi_awvalid,
    output      logic        s_axi_awready,
    input  wire logic [7:0]  s_axi_awaddr,
    input  wire logic        s_axi_wvalid,
    output      logic        s_axi_wready,
    input  wire logic [31:0] s_axi_wdata,
    input  wire logic [3:0]  s_axi_wstrb,
    output      logic        s_axi_bvalid = 1'b0,
    input  wire logic        s_axi_bready,
    output      logic [1:0]  s_axi_bresp = 2'b00,
    input  wire logic        s_axi_arvalid,
    output      logic        s_axi_arready,
    input  wire logic [7:0]  s_axi_araddr,
    output      logic        s_axi_rvalid = 1'b0,
    input  wire logic        s_axi_rready,
    output      logic [31:0] s_axi_rdata = '0,
    output      logic [1:0]  s_axi_rresp = 2'b00,
    output      logic        core_rst = 1'b1,
    output      logic        start,
    output      logic        restart = 1'b0,
    output      logic [31:0] steps = '0,
    input  wire logic        idle,
    input  wire logic        sent  // the last word of a call's scores leaves
);
    localparam logic [31:0] VERSION = 32'h53510001;
    localparam logic [1:0] OKAY = 2'b00, SLVERR = 2'b10;
    localparam logic [5:0] CONTROL = 6'h00, STATUS = 6'h01, LENGTH = 6'h02, CALLS = 6'h03, LOW = 6'h04, HIGH = 6'h05,
                           KIND = 6'h08;

    // A write: both halves are kept until they are answered.
    logic address_in = 1'b0, data_in = 1'b0;
    logic [5:0] address;
    logic [31:0] data;
    logic [3:0] strobes;
    logic write, wrong;
    assign s_axi_awready = !address_in;
    assign s_axi_wready = !data_in;
    assign write = address_in && data_in && !s_axi_bvalid;

    logic pending = 1'b0;  // a call waits for the core
    logic [31:0] length = 32'(STEPS);
    logic [31:0] started = '0, done = '0;
    logic [63:0] cycles = '0;
    logic [31:0] kept = '0;  // high half of CYCLES
    logic busy, control, starts, resets;
    assign busy = started != done;
    assign control = write && address == CONTROL && strobes[0];
    assign resets = control && data[2];
    assign starts = control && data[0] && !data[2] && !pending && length != '0;
    assign start = pending && idle && !core_rst;

    always_comb begin
        wrong = 1'b0;
        if (address == CONTROL) wrong = strobes[0] && data[0] && !data[2] && !starts;
        else wrong = address != LENGTH;
    end

    always_ff @(posedge clk) begin
        core_rst <= rst || resets;
        if (s_axi_awvalid && s_axi_awready) address <= s_axi_awaddr[7:2];
        if (s_axi_wvalid && s_axi_wready) {data, strobes} <= {s_axi_wdata, s_axi_wstrb};
        if (rst) begin
            address_in <= 1'b0;
            data_in <= 1'b0;
            s_axi_bvalid <= 1'b0;
            s_axi_bresp <= OKAY;
            length <= 32'(STEPS);
        end else begin
            address_in <= s_axi_awvalid || address_in;
            data_in <= s_axi_wvalid || data_in;
            if (s_axi_bready) s_axi_bvalid <= 1'b0;
            if (write) begin
                address_in <= 1'b0;
                data_in <= 1'b0;
                s_axi_bvalid <= 1'b1;
                s_axi_bresp <= wrong ? SLVERR : OKAY;
                for (int part = 0; part < 4; part++) begin
                    if (address == LENGTH && strobes[part]) length[part*8+:8] <= data[part*8+:8];
                end
            end
        end
        if (rst || resets) begin
            pending <= 1'b0;
            started <= '0;
            done <= '0;
            cycles <= '0;
            restart <= 1'b0;
            steps <= '0;
        end else begin
            pending <= starts || (pending && !start);
            if (starts) {restart, steps} <= {data[1], length};
            started <= started + 32'(start);
            done <= done + 32'(sent);
            cycles <= cycles + 64'(busy);
        end
    end

    // A read.
    logic [5:0] from;
    logic unknown;
    logic [31:0] found;
    assign from = s_axi_araddr[7:2];
    assign s_axi_arready = !s_axi_rvalid;
    always_comb begin
        unknown = 1'b0;
        case (from)
            CONTROL: found = '0;
            STATUS: found = {30'b0, busy || pending, !pending};
            LENGTH: found = length;
            CALLS: found = done;
            LOW: found = cycles[31:0];
            HIGH: found = kept;
            KIND: found = VERSION;
            default: begin
                unknown = from[5:3] != 3'b010;
                found = unknown ? '0 : DIGEST[32*(7-32'(from[2:0]))+:32];
            end
        endcase
    end
    wire unused = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

    always_ff @(posedge clk) begin
        if (rst) begin
            s_axi_rvalid <= 1'b0;
            s_axi_rdata <= '0;
            s_axi_rresp <= OKAY;
            kept <= '0;
        end else if (s_axi_arvalid && s_axi_arready) begin
            s_axi_rvalid <= 1'b1;
            s_axi_rdata <= found;
            s_axi_rresp <= unknown ? SLVERR : OKAY;
            if (from == LOW) kept <= cycles[63:32];
        end else if (s_axi_rready) begin
            s_axi_rvalid <= 1'b0;
        end
    end
endmodule

`default_nettype wire

# Stands in for Vivado under tclsh: tclsh vivado.tcl SCRIPT. Commands check what they are given, as far as documentation
# says what that may be: cells have the pins of their IP, pins one driver, addresses a place of their own.
array set ips {
    xilinx.com:ip:processing_system7 zynq
    xilinx.com:ip:zynq_ultra_ps_e zynq_ultra
    xilinx.com:ip:axi_dma dma
    xilinx.com:ip:smartconnect smart
    xilinx.com:ip:proc_sys_reset reset
}
array set ips [list $env(CORE_NAME) core]
# Interfaces: master or slave. Pins: in or out. An interface or a pin with ? need not be connected.
array set interfaces {
    zynq {M_AXI_GP0 master S_AXI_HP0 slave DDR ?external FIXED_IO ?external}
    zynq_ultra {M_AXI_HPM0_FPD master S_AXI_HP0_FPD slave}
    dma {S_AXI_LITE slave M_AXI_MM2S master M_AXI_S2MM master M_AXIS_MM2S smaster S_AXIS_S2MM sslave}
    core {s_axi_control slave in_stream sslave out_stream smaster}
    smart {}
    reset {}
}
array set pins {
    zynq {FCLK_CLK0 out FCLK_RESET0_N out M_AXI_GP0_ACLK in S_AXI_HP0_ACLK in}
    zynq_ultra {pl_clk0 out pl_resetn0 out maxihpm0_fpd_aclk in saxihp0_fpd_aclk in}
    dma {s_axi_lite_aclk in m_axi_mm2s_aclk in m_axi_s2mm_aclk in axi_resetn in mm2s_introut ?out s2mm_introut ?out}
    core {ap_clk in ap_rst_n in interrupt ?out}
    smart {aclk in aresetn in}
    reset {slowest_sync_clk in ext_reset_in in peripheral_aresetn out interconnect_aresetn ?out}
}
array set options {
    zynq {PCW_USE_M_AXI_GP0 PCW_USE_S_AXI_HP0 PCW_S_AXI_HP0_DATA_WIDTH PCW_EN_CLK0_PORT PCW_EN_RST0_PORT
        PCW_FPGA0_PERIPHERAL_FREQMHZ}
    zynq_ultra {PSU__USE__M_AXI_GP0 PSU__USE__M_AXI_GP1 PSU__USE__M_AXI_GP2 PSU__MAXIGP0__DATA_WIDTH
        PSU__USE__S_AXI_GP2 PSU__SAXIGP2__DATA_WIDTH PSU__FPGA_PL0_ENABLE PSU__NUM_FABRIC_RESETS PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ}
    dma {c_include_sg c_sg_include_stscntrl_strm c_include_mm2s c_include_s2mm c_m_axi_mm2s_data_width
        c_m_axis_mm2s_tdata_width c_m_axi_s2mm_data_width c_sg_length_width}
    smart {NUM_SI NUM_MI}
    core {} reset {}
}
set segments {
    squat_top_0/s_axi_control/Reg axi_dma_0/S_AXI_LITE/Reg
    processor_0/S_AXI_HP0/HP0_DDR_LOWOCM processor_0/SAXIGP2/HP0_DDR_LOW
}
set spaces {processor_0/Data axi_dma_0/Data_MM2S axi_dma_0/Data_S2MM}

proc need {condition text} { if {![uplevel 1 [list expr $condition]]} { error "STUB: $text" } }
proc say {args} { puts "DID $args" }
# Takes `-name value` and `-flag` off a command's words: {flags} {options} words. Returns {found positional}.
proc parse {flags valued given} {
    set found [dict create]
    set rest {}
    while {[llength $given]} {
        set given [lassign $given word]
        if {[lsearch -exact $flags $word] >= 0} { dict set found $word 1
        } elseif {[lsearch -exact $valued $word] >= 0} {
            need {[llength $given] > 0} "$word has no value"
            set given [lassign $given value]
            dict set found $word $value
        } else {
            need {![string match -* $word]} "unknown option $word"
            lappend rest $word
        }
    }
    return [list $found $rest]
}

# Projects
set project ""
set where ""
proc create_project {args} {
    lassign [parse {-force -in_memory} {-part} $args] found rest
    global project where env
    need {[dict get $found -part] eq $env(PART)} "part [dict get $found -part]"
    set project project
    if {![dict exists $found -in_memory]} {
        need {[llength $rest] == 2} "create_project NAME FOLDER"
        set where [lindex $rest 1]
        file mkdir $where
    }
    say create_project $found $rest
}
proc current_project {} { need {$::project ne ""} "no project is open"; return project }
proc current_fileset {} { current_project; return sources_1 }
proc set_param {name value} { say set_param $name $value }
proc get_board_parts {args} {
    lassign [parse {-quiet} {} $args] found rest
    set answer {}
    foreach files $::env(BOARD_FILES) { if {[string match [lindex $rest 0] $files]} { lappend answer $files } }
    return $answer
}
proc update_ip_catalog {args} { need {$args eq "-rebuild"} $args; need {[info exists ::repository]} "no repository" }
proc get_ipdefs {args} {
    lassign [parse {-all} {} $args] found rest
    set answer {}
    foreach name $::env(CORE_NAME) { if {[string match [lindex $rest 0] $name]} { lappend answer $name } }
    return $answer
}
proc set_property {args} {
    lassign [parse {} {-dict} $args] found rest
    if {[dict exists $found -dict]} {
        set target [string trimleft [lindex $rest 0] /]
        need {[info exists ::cells($target)]} "no cell $target"
        dict for {name value} [dict get $found -dict] {
            need {[string match CONFIG.* $name]} "$name: no CONFIG."
            set option [string range $name 7 end]
            need {[lsearch -exact $::options($::cells($target)) $option] >= 0} "$target has no option $option"
            set ::set($target,$option) $value
        }
        return
    }
    lassign $rest name value target
    need {[llength $rest] == 3} "set_property NAME VALUE OBJECT; got $rest"
    if {$name eq "ip_repo_paths"} {
        need {[file exists [lindex $value 0]/component.xml]} "no core in $value"
        set ::repository $value
    }
    if {$name eq "board_part"} { need {[lsearch -exact $::env(BOARD_FILES) $value] >= 0} "no board $value" }
    say set_property $name $value $target
}
proc get_property {name object} {
    switch -glob $name {
        PROGRESS { return [expr {[info exists ::env(FAILS)] ? "63%" : "100%"}] }
        STATUS { return "route_design ERROR" }
        SLACK { return $::env([dict get {max SLACK min HOLD} $object]) }
        CONFIG.FREQ_HZ { need {[string match -nocase *clk* $object]} "$object is no clock"; return 199998001 }
        default { error "STUB: no property $name" }
    }
}

# Block designs
proc create_bd_design {name} { current_project; set ::design $name }
proc create_bd_cell {args} {
    lassign [parse {} {-type -vlnv} $args] found rest
    need {[info exists ::design] && [dict get $found -type] eq "ip" && [llength $rest] == 1} "create_bd_cell $args"
    need {[info exists ::ips([dict get $found -vlnv])]} "no IP [dict get $found -vlnv]"
    set ::cells([lindex $rest 0]) $::ips([dict get $found -vlnv])
    return /[lindex $rest 0]
}
proc apply_bd_automation {args} {
    lassign [parse {} {-rule -config} $args] found rest
    set cell [string trimleft [lindex $rest 0] /]
    set rule [dict get {zynq processing_system7 zynq_ultra zynq_ultra_ps_e} $::cells($cell)]
    need {[dict get $found -rule] eq "xilinx.com:bd_rule:$rule"} "rule [dict get $found -rule]"
    need {[dict get [dict get $found -config] apply_board_preset] == 1} "no preset of the board"
    if {$rule eq "processing_system7"} {
        need {[dict get [dict get $found -config] make_external] eq "FIXED_IO, DDR"} "the memory is not connected"
    }
}
proc interfaces_of {cell} {
    set kind $::cells($cell)
    if {$kind ne "smart"} { return $::interfaces($kind) }
    set answer {}
    for {set i 0} {$i < $::set($cell,NUM_SI)} {incr i} { lappend answer [format S%02d_AXI $i] slave }
    for {set i 0} {$i < $::set($cell,NUM_MI)} {incr i} { lappend answer [format M%02d_AXI $i] master }
    return $answer
}
proc found_pin {name table} {
    lassign [split [string trimleft $name /] /] cell pin
    need {[info exists ::cells($cell)]} "no cell in $name"
    need {[dict exists [{*}$table $cell] $pin]} "no pin $name"
    return $cell/$pin
}
proc pins_of {cell} { return $::pins($::cells($cell)) }
proc get_bd_pins {name} { return [found_pin $name pins_of] }
proc get_bd_intf_pins {name} { return [found_pin $name interfaces_of] }
proc direction {name table} {
    lassign [split $name /] cell pin
    return [dict get [{*}$table $cell] $pin]
}
proc connect_bd_net {from to} {
    need {[direction $from pins_of] in {out ?out} && [direction $to pins_of] eq "in"} "$from drives no $to"
    need {![info exists ::driven($to)]} "$to is driven twice"
    set ::driven($to) $from
    set ::driven($from) ""
}
proc connect_bd_intf_net {from to} {
    set pair [list [direction $from interfaces_of] [direction $to interfaces_of]]
    need {$pair in {{master slave} {smaster sslave}}} "$from - $to: $pair"
    foreach one [list $from $to] { need {![info exists ::joined($one)]} "$one is joined twice"; set ::joined($one) 1 }
}
proc get_bd_addr_spaces {name} { need {$name in $::spaces} "no address space $name"; return $name }
proc get_bd_addr_segs {name} { need {$name in $::segments} "no segment $name"; return $name }
proc assign_bd_address {args} {
    lassign [parse {-force} {-offset -range -target_address_space} $args] found rest
    set space [dict get $found -target_address_space]
    set start [expr {[dict get $found -offset]}]
    set end [expr {$start + [dict get $found -range]}]
    need {$start % [dict get $found -range] == 0} "[dict get $found -offset] is not aligned"
    foreach {other from until} [expr {[info exists ::places($space)] ? $::places($space) : {}}] {
        need {$end <= $from || $until <= $start} "$rest overlaps $other"
    }
    lappend ::places($space) $rest $start $end
    if {$space eq "processor_0/Data"} {
        lassign [dict get {zynq {0x40000000 0x80000000} zynq_ultra {0xA0000000 0xB0000000}} $::cells(processor_0)] low high
        need {$low <= $start && $end <= $high} "$rest lies outside of the port"
    }
    say assign $space [lindex $rest 0] [dict get $found -offset] [dict get $found -range]
}
proc validate_bd_design {} {
    foreach cell [array names ::cells] {
        foreach {pin kind} [pins_of $cell] {
            need {[string match ?* $kind] && ([string index $kind 0] eq "?" || [info exists ::driven($cell/$pin)])} \
                "$cell/$pin is not connected"
        }
        foreach {pin kind} [interfaces_of $cell] {
            need {[string index $kind 0] eq "?" || [info exists ::joined($cell/$pin)]} "$cell/$pin is not connected"
        }
    }
    need {[llength [array names ::places]] == 3} "not all address spaces have a place"
    foreach name [lsort [array names ::set]] { say option $name $::set($name) }
    set ::valid 1
}
proc save_bd_design {} { need {[info exists ::valid]} "saved before it was validated" }
proc get_files {name} { return $name }
proc make_wrapper {args} {
    lassign [parse {-top} {-files} $args] found rest
    need {[dict get $found -files] eq "$::design.bd"} "make_wrapper $args"
    return $::where/squat_wrapper.v
}
proc add_files {args} {
    lassign [parse {-norecurse} {} $args] found rest
    need {$rest eq "$::where/squat_wrapper.v"} "add_files $args"
}
proc update_compile_order {args} { need {$args eq "-fileset sources_1"} $args }

# Runs
proc launch_runs {args} {
    lassign [parse {} {-to_step -jobs} $args] found rest
    need {$rest eq "impl_1" && [dict get $found -to_step] eq "write_bitstream"} "launch_runs $args"
    need {[string is integer -strict [dict get $found -jobs]]} "jobs"
    foreach path {squat.runs/impl_1/squat_wrapper.bit squat.gen/sources_1/bd/squat/hw_handoff/squat.hwh} {
        file mkdir [file dirname $::where/$path]
        close [open $::where/$path w]
    }
}
proc get_runs {name} { need {$name eq "impl_1"} $name; return $name }
proc wait_on_run {name} { need {$name eq "impl_1"} $name }
proc open_run {name} { need {$name eq "impl_1"} $name; set ::routed 1 }
proc report_timing_summary {args} { need {[info exists ::routed]} "nothing is routed"; parse {} {-file} $args }
proc report_utilization {args} {
    need {[info exists ::routed]} "nothing is routed"
    parse {-return_string} {-file} $args
    return "| Slice LUTs | 42 |"
}
proc get_timing_paths {args} { return [dict get [lindex [parse {} {-delay_type -max_paths} $args] 0] -delay_type] }

# The core alone
proc create_ip {args} {
    lassign [parse {-force} {-vlnv -module_name -dir} $args] found rest
    need {$::ips([dict get $found -vlnv]) eq "core" && [file isdirectory [dict get $found -dir]]} "create_ip $args"
    set ::alone [dict get $found -module_name]
}
proc get_ips {name} { need {$name eq $::alone} $name; return $name }
proc generate_target {what ip} { need {$what eq "all" && $ip eq $::alone} "generate_target $what $ip" }
proc synth_design {args} {
    lassign [parse {} {-top -part -mode} $args] found rest
    need {[dict get $found -top] eq $::alone && [dict get $found -mode] eq "out_of_context"} "synth_design $args"
    need {[dict get $found -part] eq $::env(PART)} "part [dict get $found -part]"
    set ::stage synth
}
proc get_ports {name} { need {$::stage eq "synth" && $name eq "ap_clk"} "get_ports $name"; return $name }
proc create_clock {args} {
    lassign [parse {} {-period -name} $args] found rest
    need {[dict get $found -period] > 0 && $rest eq "ap_clk"} "create_clock $args"
    say clock [dict get $found -period]
    set ::stage clocked
}
foreach {name before after} {opt_design clocked opted place_design opted placed phys_opt_design placed better
    route_design better routed} {
    proc $name {} "need {\$::stage eq \"$before\"} \"$name after \$::stage\"; set ::stage $after; set ::$after 1"
}

source [lindex $argv 0]

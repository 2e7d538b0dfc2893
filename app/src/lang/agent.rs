//! The texts of pages about what runs on a node: apart from the others, so that the first page need not carry them.

use super::t;
use crate::prefs::Lang;

/// The texts of the page's language.
pub fn a() -> &'static Agent {
    Agent::of(t().lang)
}

catalogue! {
    /// Texts of allocations, tasks and clients. `{0}`, `{1}` stand for values, see [`super::fill`].
    Agent
    // Terminals
    terminal: "Terminal", "终端";
    terminal_of: "Terminal in {0}", "{0} 的终端";
    terminals: "Terminals", "终端列表";
    command: "Command", "命令";
    open_terminal: "Open terminal", "打开终端";
    terminal_why: "Runs a command beside the task, in its place: its files, its environment, its network.", "在任务的环境中运行一条命令：相同的文件、环境变量与网络。";
    same_by_command_line: "The same from the command line:", "命令行方式：";
    no_task_runs: "No task runs: a command needs one that does.", "没有正在运行的任务：命令需要在运行中的任务里执行。";
    not_all_terminals: "{0} terminals are open: close one first.", "已打开 {0} 个终端：请先关闭一个。";
    no_terminal_built: "The terminal was not built: cargo xtask ui builds it where npm is installed.", "终端尚未构建：安装 npm 后运行 cargo xtask ui。";
    needs_browser: "A terminal needs JavaScript.", "终端需要 JavaScript。";
    quote_open: "a quote is not closed", "引号没有闭合";
    command_empty: "no command", "没有命令";
    terminal_keys: "Ctrl+Shift+X leaves the terminal (Tab goes to the command). Ctrl+Shift+C copies, Ctrl+Shift+V pastes.", "Ctrl+Shift+X 离开终端（Tab 会发送给命令）。Ctrl+Shift+C 复制，Ctrl+Shift+V 粘贴。";
    read_aloud: "Screen reader", "屏幕阅读器";
    copy_screen: "Copy what is selected, or all", "复制所选内容或全部";
    close_terminal: "Close terminal {0}", "关闭终端 {0}";
    leave_hint: "A terminal ends when this page is left.", "离开本页面时终端会结束。";
    ph_connecting: "Connecting", "连接中";
    ph_open: "Open", "已连接";
    ph_exited: "Ended", "已结束";
    ph_refused: "Refused", "被拒绝";
    ph_lost: "Connection lost", "连接已断开";
    ph_back: "Server is back", "服务器已恢复";
    try_n: "try {0}", "第 {0} 次尝试";
    said_exited: "The command ended with exit code {0}. Enter runs it again.", "命令已结束，退出码 {0}。按 Enter 再次运行。";
    said_refused: "{0}. Enter tries again.", "{0}。按 Enter 重试。";
    said_lost: "The connection is lost, and the command has ended with it. Waiting for the server…", "连接已断开，命令也随之结束。正在等待服务器…";
    // Files
    files: "Files", "文件";
    path: "Path", "路径";
    size: "Size", "大小";
    mode: "Mode", "权限";
    directory: "directory", "目录";
    file: "file", "文件";
    symlink: "symbolic link", "符号链接";
    special_file: "pipe, socket or device", "管道、套接字或设备";
    special_text: "This is a pipe, a socket or a device: there is nothing to read.", "这是管道、套接字或设备：没有可读取的内容。";
    dir_empty: "Nothing is in this directory.", "此目录为空。";
    file_empty: "The file is empty.", "文件为空。";
    file_shorter: "The file got shorter, and is shown from its start again.", "文件变短了，已从头重新显示。";
    binary_text: "This is no text: {0}. It can be downloaded.", "这不是文本：{0}。可以下载。";
    no_text: "What came is no text.", "新内容不是文本。";
    no_utf8: "The name is not UTF-8 and can't be asked for.", "名称不是 UTF-8，无法请求。";
    download_x: "Download {0}", "下载 {0}";
    earlier: "Earlier", "前面";
    later: "Later", "后面";
    the_end: "End", "末尾";
    files_of: "Files of {0}", "{0} 的文件";
    // Logs
    search_all: "Search all that is kept", "搜索全部日志";
    match_case: "Match case", "区分大小写";
    end_search: "End the search", "结束搜索";
    matches: "Matches", "匹配项";
    one_match: "{0} line", "{0} 行";
    n_matches: "{0} lines", "{0} 行";
    found_in: "{0} found in {1}", "在 {1} 中找到 {0}";
    search_on: "Search on", "继续搜索";
    in_context: "Show the lines around it", "显示前后的行";
    around: "Lines around the match", "匹配项前后的行";
    to_the_newest: "To the newest lines", "回到最新的行";
    nothing_there: "Nothing is kept there any more.", "此处已没有保留的内容。";
    // Runs
    history: "Runs", "运行记录";
    run_now: "Runs now", "正在运行";
    run_failed: "Did not start", "未能启动";
    run_ended: "Ended", "已结束";
    run_oom: "Out of memory", "内存不足";
    run_signal: "signal {0}", "信号 {0}";
    run_for: "after {0}", "持续 {0}";
    starts_in: "starts again in {0}", "{0} 后重新启动";
    starts_now: "starts again", "重新启动";
    not_again: "not started again: {0}", "不再启动：{0}";
    one_oom: "{0} out of memory", "{0} 次内存不足";
    n_oom: "{0} out of memory", "{0} 次内存不足";
    older_runs: "Older runs are no longer kept.", "更早的运行记录已不再保留。";
    // Networks, checks
    network: "Network", "网络";
    mode_of_network: "Mode", "模式";
    host_address: "Host address", "主机地址";
    own_address: "Own address", "自身地址";
    own_address6: "Own IPv6 address", "自身 IPv6 地址";
    interface: "Interface", "接口";
    hostname: "Host name", "主机名";
    dns_servers: "DNS servers", "DNS 服务器";
    dns_searches: "DNS searches", "DNS 搜索域";
    dns_options: "DNS options", "DNS 选项";
    check_passing: "passing", "通过";
    check_failing: "failing", "失败";
    check_waiting: "not run yet", "尚未运行";
    check_readiness: "readiness", "就绪检查";
    answered_code: "answered {0}", "返回 {0}";
    last_runs: "{0}: last {1} runs, {2} failed", "{0}：最近 {1} 次运行，{2} 次失败";
    // Clients
    networks: "Networks", "网络";
    host_network: "host network", "主机网络";
    no_bridge: "No bridge networks: {0}", "没有桥接网络：{0}";
    dynamic_ports: "Dynamic ports", "动态端口";
    reserved_ports: "reserved ports {0}", "保留端口 {0}";
    disks: "Disks", "磁盘";
    alloc_dir: "allocations", "分配目录";
    used_of: "{0} of {1}", "{0} / {1}";
    inodes: "inodes {0} %", "inode {0} %";
    collect_e: "Collect…", "回收…";
    collect_x: "Remove what ended allocations left on {0}?", "删除 {0} 上已结束分配的残留？";
    collect_text: "Directories and logs of allocations that are over are removed now, and not only when room is needed.", "立即删除已结束分配的目录与日志，而不是等到需要空间时。";
    collect_verb: "Collect", "回收";
    collected_x: "{0} is being cleaned up", "正在清理 {0}";
    filter_attributes: "Filter by name or value", "按名称或值筛选";
    n_attributes: "{0} attributes", "{0} 个属性";
    one_attribute: "{0} attribute", "{0} 个属性";
    nothing_like_it: "No attribute matches.", "没有匹配的属性。";
    source: "Source", "来源";
    from_config: "configuration", "配置";
    set_here: "set while it runs", "运行时设置";
    taken_away: "taken away while it runs", "运行时移除";
    set_meta_e: "Set…", "设置…";
    set_meta_x: "Set {0}?", "设置 {0}？";
    set_meta_verb: "Set", "设置";
    unset_meta_e: "Take {0} away…", "移除 {0}…";
    unset_meta_x: "Take {0} away?", "移除 {0}？";
    unset_meta_verb: "Take away", "移除";
    set_meta_text: "Jobs whose constraints look at it are placed by the new value from now on. It outlives a restart of the agent.", "约束引用它的作业从现在起按新值放置。代理重启后仍然有效。";
    meta_was_set: "{0} is changed", "{0} 已更改";
    key: "Key", "键";
    said_back: "The server answers again. Enter runs the command anew.", "服务器已恢复响应。按 Enter 重新运行命令。";
}

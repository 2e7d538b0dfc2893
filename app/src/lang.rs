//! The texts of the interface in every language we have. A missing one does not compile.

use leptos::prelude::*;

use crate::prefs::Lang;

macro_rules! catalogue {
    ($(#[$doc:meta])* $texts:ident $( $name:ident: $en:literal, $zh:literal; )*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $texts {
            pub lang: Lang,
            $( pub $name: &'static str, )*
        }

        impl $texts {
            pub fn of(lang: Lang) -> &'static $texts {
                static EN: $texts = $texts { lang: Lang::En, $( $name: $en, )* };
                static ZH: $texts = $texts { lang: Lang::Zh, $( $name: $zh, )* };
                match lang {
                    Lang::En => &EN,
                    Lang::Zh => &ZH,
                }
            }
        }
    };
}

pub mod agent;
pub mod doing;
pub mod plan;
pub mod storage;

/// The texts of the page's language.
pub fn t() -> &'static Texts {
    use_context::<&'static Texts>().unwrap_or_else(|| Texts::of(Lang::En))
}

pub fn texts_of(lang: Lang) -> &'static Texts {
    Texts::of(lang)
}

/// Puts values in the places `{0}`, `{1}`, … of a text.
pub fn fill(text: &str, values: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // From left to right, once: a value is a name that somebody chose, and may have braces of its own.
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let place = rest.find('}').and_then(|end| Some((rest[1..end].parse::<usize>().ok()?, end)));
        match place.and_then(|(i, end)| Some((values.get(i)?, end))) {
            Some((value, end)) => {
                out.push_str(value);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `one` of a single thing, `many` with the number of others.
pub fn counted(one: &str, many: &str, n: u64) -> String {
    fill(if n == 1 { one } else { many }, &[&crate::digits::thousands(n as i64)])
}

catalogue! {
    /// Every text of the first page and of most others. `{0}`, `{1}` stand for values, see [`fill`].
    Texts
    // Frame and places
    skip: "Skip to content", "跳到内容";
    main_navigation: "Main", "主导航";
    phone_navigation: "Main, short", "主导航（简）";
    jobs: "Jobs", "作业";
    services: "Services", "服务";
    evaluations: "Evaluations", "评估";
    evaluations_short: "Evals", "评估";
    clients: "Clients", "客户端";
    servers: "Servers", "服务器";
    topology: "Topology", "拓扑";
    allocations: "Allocations", "分配";
    all_namespaces: "All namespaces", "全部命名空间";
    search: "Search", "搜索";
    search_or_run: "Search or run a command", "搜索或执行命令";
    results: "Results", "结果";
    choose: "choose", "选择";
    open: "open", "打开";
    go_to: "Go to", "前往";
    in_jobs: "In jobs", "作业之内";
    nothing_found: "Nothing found", "没有找到";
    live: "Live", "实时";
    last_hour: "Hour", "一小时";
    last_day: "Day", "一天";
    period: "Period", "时段";
    not_live: "As of now", "当前";
    reconnecting: "Reconnecting", "正在重连";
    polling: "Every 2 s", "每 2 秒";
    live_title: "events arrive as they happen", "事件实时到达";
    index: "index", "索引";
    theme: "Theme", "主题";
    breadcrumb: "Breadcrumb", "位置";
    tabs: "Sections", "分区";
    not_built: "This page is not live: the browser's part was not built. Run", "本页面不会实时更新：浏览器部分尚未构建。请运行";
    close: "Close", "关闭";
    cancel: "Cancel", "取消";
    question: "Question", "确认";
    copied: "Copied", "已复制";
    copy_failed: "The browser does not let pages copy", "浏览器不允许复制";
    copy_command: "Copy command", "复制命令";
    loading: "Loading", "加载中";
    none: "none", "无";
    no_such_page: "No such page", "没有这个页面";
    no_such_page_text: "There is nothing at this address.", "此地址没有内容。";
    to_the_jobs: "To the jobs", "返回作业列表";
    // Failures
    not_found: "Not found", "未找到";
    forbidden: "Not permitted", "没有权限";
    unreachable: "The server does not answer", "服务器没有响应";
    went_wrong: "Something went wrong", "出错了";
    try_again: "Try again", "重试";
    server_silent: "The server does not answer. What is shown may be old.", "服务器没有响应。显示的内容可能已过时。";
    no_reason: "The server gave no reason.", "服务器没有说明原因。";
    unexpected: "The server's answer is not what this page expects", "服务器的回答与本页面的预期不符";
    // Words of states, alone and for many
    running: "Running", "运行中";
    starting: "Starting", "启动中";
    stopping: "Stopping", "停止中";
    stopped: "Stopped", "已停止";
    complete: "Complete", "已完成";
    failed: "Failed", "失败";
    lost: "Lost", "已丢失";
    unknown: "Unknown", "未知";
    pending: "Pending", "等待中";
    blocked: "Blocked", "受阻";
    degraded: "Degraded", "已降级";
    deploying: "Deploying", "部署中";
    canary: "Canary", "金丝雀";
    scheduled: "Scheduled", "已排程";
    ready: "Ready", "就绪";
    restarting: "Restarting", "重启中";
    healthy: "healthy", "健康";
    unhealthy: "unhealthy", "不健康";
    draining: "Draining", "排空中";
    ineligible: "Not eligible", "不可调度";
    initializing: "Starting", "初始化中";
    disconnected: "Disconnected", "已断开";
    down: "Down", "离线";
    canceled: "Canceled", "已取消";
    paused: "Paused", "已暂停";
    successful: "Successful", "成功";
    not_all_placed: "not all placed", "未全部放置";
    waiting_for_you: "waiting for you", "等待您的操作";
    exit_code: "exit code {0}", "退出码 {0}";
    w_running: "running", "运行中";
    w_canary: "canary", "金丝雀";
    w_pending: "pending", "等待中";
    w_blocked: "blocked", "受阻";
    w_degraded: "degraded", "已降级";
    w_draining: "draining", "排空中";
    w_failed: "failed", "失败";
    w_lost: "lost", "丢失";
    w_complete: "complete", "完成";
    w_stopped: "stopped", "停止";
    w_waiting: "waiting", "待放置";
    // Numbers and times
    now: "now", "刚刚";
    x_ago: "{0} ago", "{0} 前";
    n_of_m: "{0} of {1}", "{0} / {1}";
    of_x: "of {0}", "/ {0}";
    n_of_m_placed: "{0} of {1} placed", "已放置 {0} / {1}";
    canaries_of: "canaries {0}/{1}", "金丝雀 {0}/{1}";
    one_child: "{0} child", "{0} 个子作业";
    n_children: "{0} children", "{0} 个子作业";
    n_older_children: "{0} older children", "更早的 {0} 个子作业";
    rows_of: "{0}–{1} of {2}", "第 {0}–{1} 项，共 {2} 项";
    pages_of_list: "Pages of this list", "列表分页";
    page_first: "First page", "首页";
    page_before: "Previous page", "上一页";
    page_after: "Next page", "下一页";
    n_jobs: "{0} jobs", "{0} 个作业";
    one_job: "{0} job", "{0} 个作业";
    chart_says: "{0} between {1} and {2} {3}", "{0}：{1} 至 {2} {3}";
    // The Jobs list
    run_a_job: "Run a job", "运行作业";
    filter_jobs: "Filter jobs", "筛选作业";
    filter_by_name: "Filter by name", "按名称筛选";
    filters: "Filters", "筛选";
    clear_filters: "Clear filters", "清除筛选";
    no_jobs: "No jobs yet", "还没有作业";
    no_jobs_text: "A job says what should run. Write one here, or run it from the command line with tarpan job run.", "作业说明应当运行什么。可以在此编写，也可以用命令行 tarpan job run 运行。";
    nothing_matches: "Nothing matches", "没有匹配项";
    nothing_matches_text: "No job matches what you filter by.", "没有符合筛选条件的作业。";
    show_children: "Show children", "显示子作业";
    views: "Views", "视图";
    needs_attention: "Needs attention", "需要关注";
    select_x: "Select {0}", "选择 {0}";
    select_all: "Select all", "全选";
    n_selected: "{0} selected", "已选 {0} 个";
    clear_selection: "Clear selection", "取消选择";
    n_running_of_selection: "{0} running allocations", "{0} 个运行中的分配";
    one_running_of_selection: "{0} running allocation", "{0} 个运行中的分配";
    nothing_to_stop: "all of them are stopped", "均已停止";
    nothing_to_start: "none of them is stopped", "没有已停止的";
    name: "Name", "名称";
    status: "Status", "状态";
    kind: "Type", "类型";
    namespace: "Namespace", "命名空间";
    node_pool: "Node pool", "节点池";
    pool: "Pool", "节点池";
    datacenter: "Datacenter", "数据中心";
    version: "Version", "版本";
    priority: "Priority", "优先级";
    changed: "Changed", "变更";
    no_difference: "No difference", "没有差异";
    // Words of pages
    about: "About", "概况";
    actions: "Actions", "操作";
    agent: "Agent", "代理";
    all: "All", "全部";
    allocation: "Allocation", "分配";
    attributes: "Attributes", "属性";
    address: "Address", "地址";
    addresses: "Addresses", "地址";
    alive: "Alive", "在线";
    left: "Left", "已离开";
    leader: "leader", "领导者";
    voter: "voter", "投票者";
    server_healthy: "Healthy", "健康";
    catching_up: "catching up", "追赶中";
    entries_behind: "Behind", "落后条目";
    last_contact: "Last contact", "上次联系";
    may_fail_none: "none may fail", "不可故障";
    may_fail_one: "{0} may fail", "可故障 {0}";
    may_fail_n: "{0} may fail", "可故障 {0}";
    one_voter: "{0} voter", "{0} 个投票者";
    n_voters: "{0} voters", "{0} 个投票者";
    make_leader: "Make leader", "设为领导者";
    remove_peer: "Remove", "移除";
    snapshot_e: "Snapshot", "快照";
    restore_e: "Restore…", "恢复…";
    restore_file: "Snapshot file", "快照文件";
    restore_no_file: "No file was chosen", "未选择文件";
    role: "Role", "角色";
    region: "Region", "地域";
    client: "Client", "客户端";
    class: "Class", "类别";
    count: "Count", "数量";
    cpu: "CPU", "CPU";
    memory: "Memory", "内存";
    mem_short: "Mem", "内存";
    disk: "Disk", "磁盘";
    created: "Created", "创建";
    current: "current", "当前";
    stable: "stable", "稳定";
    datacenters: "Datacenters", "数据中心";
    definition: "Definition", "定义";
    deployment: "Deployment", "部署";
    deployments: "Deployments", "部署";
    description: "Description", "说明";
    download: "Download", "下载";
    driver: "Driver", "驱动";
    each: "Each", "每个";
    edit: "Edit", "编辑";
    edit_the_job: "Edit the job", "编辑作业";
    evaluation: "Evaluation", "评估";
    events: "Events", "事件";
    form: "Form", "形式";
    group: "Group", "组";
    groups: "Groups", "组";
    health: "Health", "健康状况";
    healthy_c: "Healthy", "健康";
    unhealthy_c: "Unhealthy", "不健康";
    job: "Job", "作业";
    jobspec: "Jobspec", "作业定义";
    children: "Children", "子作业";
    launched: "Launched", "启动时间";
    logs: "Logs", "日志";
    meta: "Meta", "元数据";
    meta_required: "Required values", "必填值";
    meta_optional: "Optional values", "选填值";
    on: "on", "位于";
    overview: "Overview", "概览";
    overlap: "Overlap", "重叠运行";
    permitted: "permitted", "允许";
    not_permitted: "not permitted", "不允许";
    payload: "Payload", "载荷";
    placed: "Placed", "已放置";
    placement: "Placement", "放置";
    pool_l: "pool", "节点池";
    ports: "Ports", "端口";
    read_only: "read only", "只读";
    required: "required", "必填";
    optional: "optional", "选填";
    resources: "Resources", "资源";
    restarts: "Restarts", "重启次数";
    runs: "Runs", "运行时机";
    main: "main", "主任务";
    before_main: "before main", "主任务之前";
    beside_main: "beside main", "与主任务同时";
    after_main: "after main", "主任务之后";
    sidecar: "sidecar", "边车";
    schedule: "Schedule", "排程";
    scheduler: "Scheduler", "调度器";
    service: "Service", "服务";
    state: "State", "状态";
    stream: "Stream", "输出流";
    submitted: "Submitted", "提交";
    system: "System", "系统";
    tags: "Tags", "标签";
    task: "Task", "任务";
    tasks: "Tasks", "任务";
    time_line: "Time line", "时间线";
    time_zone: "Time zone", "时区";
    trigger: "Trigger", "触发";
    update: "Update", "更新方式";
    update_says: "{0} at a time, {1} canaries, healthy for {2}", "每次 {0} 个，金丝雀 {1} 个，健康持续 {2}";
    uptime: "Up", "已运行";
    up_x: "{0}", "{0}";
    usage: "Use", "用量";
    used: "used", "已用";
    reserved: "reserved", "已预留";
    used_and_reserved: "used and reserved, of what the client has", "客户端资源的已用量与预留量";
    x_reserved_of: "{0} reserved of {1}", "已预留 {0} / {1}";
    value: "Value", "值";
    versions: "Versions", "版本";
    version_l: "version", "版本";
    version_n: "Version {0}", "版本 {0}";
    version_n_l: "version {0}", "版本 {0}";
    version_submitted: "Version {0} submitted", "已提交版本 {0}";
    version_is_healthy: "Version {0} is deployed and healthy.", "版本 {0} 已部署且健康。";
    first_version: "The first version", "第一个版本";
    devices: "Devices", "设备";
    volume: "volume", "卷";
    volumes: "Volumes", "卷";
    storage: "Storage", "存储";
    unavailable: "Unavailable", "不可用";
    not_there: "not found", "未找到";
    copy: "Copy", "复制";
    copy_address: "Copy address", "复制地址";
    // Counts
    n_clients: "{0} clients", "{0} 个客户端";
    one_client: "{0} client", "{0} 个客户端";
    n_candidates: "{0} looked at", "考察了 {0} 个";
    n_restarts: "{0} restarts", "重启 {0} 次";
    one_restart: "{0} restart", "重启 {0} 次";
    n_of_m_healthy: "{0} of {1} healthy", "{0} / {1} 健康";
    n_lines: "{0} lines", "{0} 行";
    one_line: "{0} line", "{0} 行";
    // Empty lists
    no_allocations: "No allocations", "没有分配";
    no_allocations_text: "Nothing of this job was placed yet.", "该作业尚未放置任何分配。";
    no_children: "No children yet", "还没有子作业";
    no_children_text: "They appear here when they are launched.", "启动后会显示在这里。";
    no_clients: "No clients", "没有客户端";
    no_clients_text: "A client is an agent that runs what jobs ask for. Start one with tarpan agent -client.", "客户端是运行作业的代理。可用 tarpan agent -client 启动。";
    no_evaluations: "No evaluations", "没有评估";
    no_evaluations_text: "An evaluation is made when a job or a client changes.", "作业或客户端变化时会产生评估。";
    no_instances: "No instances", "没有实例";
    no_scores: "No scores were kept.", "没有保留评分。";
    no_services: "No services", "没有服务";
    no_services_text: "Services appear when an allocation with a service block runs.", "带有 service 块的分配运行后，服务会显示在这里。";
    no_source: "written from the job: it came as JSON, or its text is no longer kept", "由作业生成：以 JSON 提交，或原文已不再保留";
    // Evaluations and explanations
    why_not_running: "Why is it not running?", "为什么没有运行？";
    why_is_x_not_running: "Why is {0} not running?", "{0} 为什么没有运行？";
    why_is_x_not_all_placed: "Why is {0} not wholly placed?", "{0} 为什么没有全部放置？";
    evaluation_of: "Evaluation of {0}", "{0} 的评估";
    no_client_can_take_it: "No client can take it.", "没有客户端可以承载。";
    waits_for_capacity: "It waits for capacity.", "正在等待资源。";
    not_looked_at_yet: "No scheduler looked at it yet.", "调度器尚未处理。";
    all_placed: "Everything was placed.", "已全部放置。";
    group_cant_be_placed: "{0}: {1} can't be placed", "{0}：{1} 个无法放置";
    group_n_wait: "group {0}, {1} waiting", "组 {0}，{1} 个待放置";
    tried_again_by_itself: "It is tried again by itself when a client frees room, joins, or becomes ready.", "当有客户端腾出空间、加入或就绪时会自动重试。";
    all_checks: "all checks", "全部检查";
    looked_at_n: "{0} clients looked at", "考察了 {0} 个客户端";
    looked_at_one: "{0} client looked at", "考察了 {0} 个客户端";
    n_could_not_be_placed: "{0} could not be placed", "{0} 个无法放置";
    blocked_waits: "Blocked: waits for capacity", "受阻：等待资源";
    n_wait: "{0} allocations wait", "{0} 个分配等待中";
    one_waits: "{0} allocation waits", "{0} 个分配等待中";
    next: "next", "接下来";
    tried_again: "Tried again by itself", "自动重试";
    tried_again_when: "when a client frees room, joins, or becomes ready", "当有客户端腾出空间、加入或就绪时";
    clients_and_checks: "Clients and checks", "客户端与检查";
    checks: "Checks", "检查";
    check: "Check", "检查项";
    keeps_out: "Keeps out", "排除";
    asked: "Asked", "请求";
    most_free: "Most free", "最大空闲";
    most_total: "Most in all", "最大总量";
    how_near: "How near", "差距";
    client_by_client: "Client by client, as things stand", "逐个客户端的当前情况";
    constraints_and_drivers: "Constraints, drivers", "约束与驱动";
    passed: "passed", "通过";
    not_looked_at: "not looked at", "未检查";
    could_take_one: "could take one now", "现在可以接收";
    x_of_y: "{0} of {1}", "{1} 中的 {0}";
    x_short: "{0} short", "缺 {0}";
    ready_by_dc: "ready by datacenter", "各数据中心就绪";
    related_evaluations: "Related evaluations", "相关评估";
    this_one: "this one", "当前评估";
    placed_by_this: "Placed by this evaluation", "由此评估放置";
    queued: "Queued", "排队";
    why_here: "Why here", "为何在此";
    final_score: "final", "总分";
    others_scored: "Others: {0}", "其他：{0}";
    replaces: "Replaces", "替换了";
    replaced_by: "Replaced by", "被替换为";
    tr_job_register: "job submitted", "提交作业";
    tr_job_deregister: "job stopped", "停止作业";
    tr_periodic: "periodic launch", "周期启动";
    tr_node_update: "a client changed", "客户端变化";
    tr_node_drain: "a client is drained", "客户端排空";
    tr_alloc_stop: "an allocation was stopped", "停止分配";
    tr_alloc_failure: "an allocation failed", "分配失败";
    tr_deployment: "deployment", "部署";
    tr_queued: "waiting for room", "等待空间";
    tr_max_plans: "plans were refused", "计划被拒绝";
    tr_scaling: "job scaled", "作业扩缩";
    tr_rolling: "rolling update", "滚动更新";
    // Deployments
    deployment_of: "Deployment of version {0}", "版本 {0} 的部署";
    place: "Place", "放置";
    place_canaries: "Place canaries", "放置金丝雀";
    healthy_step: "Healthy", "健康";
    roll_out: "Roll out", "推出";
    done: "Done", "完成";
    canaries_are_healthy: "{0} canaries are healthy. Promote them to replace the older version.", "{0} 个金丝雀健康。提升它们以替换旧版本。";
    canaries_not_yet: "The canaries are not healthy yet.", "金丝雀尚未健康。";
    // Actions
    stop_e: "Stop…", "停止…";
    start_e: "Start…", "启动…";
    restart_e: "Restart…", "重启…";
    purge_e: "Purge…", "清除…";
    fail_e: "Fail…", "判为失败…";
    drain_e: "Drain…", "排空…";
    dispatch_e: "Dispatch…", "派发…";
    revert_e: "Revert to {0}…", "回退到 {0}…";
    make_eligible_e: "Make eligible…", "恢复调度…";
    make_ineligible_e: "Make ineligible…", "暂停调度…";
    purge_too: "Purge: forget the job and its versions too", "清除：同时删除作业及其版本";
    launch_now: "Launch now", "立即启动";
    one_less: "One less of {0}", "{0} 减少一个";
    one_more: "One more of {0}", "{0} 增加一个";
    promote: "Promote", "提升";
    promoted: "The canaries are promoted", "金丝雀已提升";
    pause: "Pause", "暂停";
    resume: "Resume", "恢复";
    restart_of: "Restart {0}", "重启 {0}";
    stop_drain: "Stop the drain", "停止排空";
    deadline: "Deadline", "期限";
    one_hour: "1 hour", "1 小时";
    ten_minutes: "10 minutes", "10 分钟";
    no_deadline: "No deadline", "无期限";
    at_once: "Stop all at once", "立即全部停止";
    system_jobs: "System jobs", "系统作业";
    leave_running: "Leave them running", "保持运行";
    dispatch: "Dispatch", "派发";
    dispatch_title: "Dispatch an instance", "派发一个实例";
    dispatched_x: "Dispatched {0}", "已派发 {0}";
    payload_hint: "At most 16 KiB; the task finds it where its dispatch_payload block says.", "最多 16 KiB；任务会在 dispatch_payload 块指定的位置找到它。";
    still_missing: "still missing: {0}", "尚缺：{0}";
    // Logs
    search_logs: "Filter what is shown", "筛选显示的行";
    no_line_matches: "No line matches what you search for.", "没有匹配的行。";
    nothing_on_x: "Nothing was written to {0} yet.", "{0} 还没有内容。";
    show_x: "Show {0}", "显示 {0}";
    wrap_lines: "Wrap lines", "自动换行";
    follow: "Follow", "跟随";
    logs_of: "Logs of {0}", "{0} 的日志";
    // Run a job
    templates: "Templates", "模板";
    open_file: "Open", "打开";
    paste_here: "paste HCL or JSON", "粘贴 HCL 或 JSON";
    find_in_text: "Find in text", "在文本中查找";
    write_a_job: "Write or paste a jobspec here, or begin with a template.", "在此编写或粘贴作业定义，或从模板开始。";
    plan: "Plan", "计划";
    all_n_lines: "All {0} lines", "全部 {0} 行";
    run: "Run", "运行";
    running_now: "Running", "正在运行";
    open_the_job: "Open the job", "打开作业";
    fix_one_error: "fix 1 error to run", "修复 1 个错误后可运行";
    fix_n_errors: "fix {0} errors to run", "修复 {0} 个错误后可运行";
    problems: "Problems", "问题";
    no_problems: "No problems", "没有问题";
    change_to_x: "Change to {0}", "改为 {0}";
    variables: "Variables", "变量";
    one_from_the_text: "{0}, declared in the text", "文本中声明了 {0} 个";
    n_from_the_text: "{0}, declared in the text", "文本中声明了 {0} 个";
    one_error: "{0} error", "{0} 个错误";
    n_errors: "{0} errors", "{0} 个错误";
    one_warning: "{0} warning", "{0} 个警告";
    n_warnings: "{0} warnings", "{0} 个警告";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_any_order() {
        assert_eq!(fill("{0} of {1}", &["1", "3"]), "1 of 3");
        assert_eq!(fill("{1} 中的 {0}", &["1", "3"]), "3 中的 1");
        assert_eq!(fill("{0}{1}{", &["{1}", "{{"]), "{1}{{{");
        assert_eq!(fill("{2} {x}", &["a"]), "{2} {x}");
    }
}

//! The texts of the pages about volumes: apart from the others, so that the first page need not carry them.

use super::t;
use crate::prefs::Lang;

/// The texts of the page's language.
pub fn s() -> &'static Storage {
    Storage::of(t().lang)
}

catalogue! {
    /// Texts of volumes and their plugins. `{0}`, `{1}` stand for values, see [`super::fill`].
    Storage
    host_volumes: "Dynamic host volumes", "动态主机卷";
    no_host_volumes: "No dynamic host volumes", "没有动态主机卷";
    no_host_volumes_text: "A volume is a directory of a client that keeps what jobs write. \"volume create\" makes one.", "卷是客户端上的目录，保存作业写入的内容。使用 \"volume create\" 创建。";
    csi_volumes: "CSI volumes", "CSI 卷";
    no_csi_volumes: "No CSI volumes", "没有 CSI 卷";
    csi_plugins: "CSI plugins", "CSI 插件";
    no_csi_plugins: "No CSI plugins", "没有 CSI 插件";
    controllers: "Controllers", "控制器";
    mounted_on: "On clients", "客户端上";
    provider: "Provider", "提供者";
    readers: "Readers", "读取者";
    writers: "Writers", "写入者";
    external_id: "External ID", "外部 ID";
    not_in_use: "not in use", "未使用";
    plugin: "Plugin", "插件";
    capacity: "Capacity", "容量";
    id: "ID", "ID";
    path: "Path", "路径";
    capabilities: "Capabilities", "能力";
    access_mode: "Access mode", "访问模式";
    attachment_mode: "Attachment mode", "挂载模式";
    capacity_asked: "Capacity asked", "请求的容量";
    parameters: "Parameters", "参数";
    parameters_hint: "Parameters, a line each: key = value", "参数，每行一个：key = value";
    nothing_mounts_it: "No allocation mounts it.", "没有分配挂载此卷。";
    claims: "Held by", "持有者";
    claims_text: "sticky groups come back to it", "粘性组会回到此卷";
    delete_e: "Delete…", "删除…";
    delete_x: "Delete {0}?", "删除 {0}？";
    delete_verb: "Delete {0}", "删除 {0}";
    deleted_x: "{0} is deleted", "{0} 已删除";
    delete_volume_text: "Everything in it is deleted with it.", "其中的所有内容都会被删除。";
    one_mounts_it: "An allocation mounts it: it is refused until that one ends.", "有一个分配挂载了它：在其结束之前会被拒绝。";
    n_mount_it: "{0} allocations mount it: it is refused until they end.", "有 {0} 个分配挂载了它：在它们结束之前会被拒绝。";
    holders_start_empty: "These groups then start without their data: {0}.", "这些组之后将在没有数据的情况下启动：{0}。";
    let_go_e: "Let go…", "释放…";
    let_go_x: "Let {0} go to another volume?", "让 {0} 使用其他卷？";
    let_go_verb: "Let go", "释放";
    let_go_text: "Its next allocation may start on another node, without what this volume holds.", "其下一个分配可能在其他节点上启动，且没有此卷中的内容。";
    new_volume_e: "New volume…", "新建卷…";
    new_volume: "New host volume", "新建主机卷";
    new_volume_text: "A plugin makes a directory on a client of the pool that has it.", "插件会在拥有该插件的节点池客户端上创建目录。";
    create_volume: "Create volume", "创建卷";
    created_x: "{0} is created", "{0} 已创建";
}
